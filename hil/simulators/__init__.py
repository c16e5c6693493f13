"""The far end of each device protocol, written from its document and not from our decoder."""
