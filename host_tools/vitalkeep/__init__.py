"""Host tools of the bedside gateway: provision, flash, diagnose, and the hub."""
