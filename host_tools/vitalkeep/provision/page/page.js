"use strict";
// The guided setup: shows what the command would tell, and begins runs. It decides nothing itself.
// Everything that came over the wire is set as text, never as markup.

const AGAIN_MS = 1000;
const BREATH_MS = 150; // percents come in crowds
const STATES = {
  "at work": ["", "at work"],
  accepted: ["good", "\u2713 accepted"],
  failed: ["bad", "\u2716 failed"],
};
const LASTS = { provisioned: "begun", accepted: "accepted", drained: "drained", retired: "retired" };

const token = takeToken();
const cards = new Map(); // bed -> card
let seen = 0;
let shown = null; // the newest state

// The token goes out of the address bar, where others look; this tab keeps it.
function takeToken() {
  const found = location.hash.slice(1);
  if (!found) return sessionStorage.getItem("token") || "";
  sessionStorage.setItem("token", found);
  history.replaceState(null, "", location.pathname);
  return found;
}

function ask(path, more = {}) {
  return fetch(path, { cache: "no-store", ...more, headers: { "x-vitalkeep-token": token } });
}

function say(text) {
  put($("live"), text);
}

function banner(text) {
  put($("banner"), text);
  $("banner").hidden = !text;
}

// --- one run ---

class Card {
  constructor(bed) {
    this.bed = bed;
    this.root = make("article", "card");
    const head = make("div", "card-head");
    this.state = make("span", "badge");
    head.append(make("h2", "", bed), this.state);
    this.facts = make("p", "quiet");
    this.steps = make("ol", "steps");
    this.end = make("div", "end");
    this.root.append(head, this.facts, this.end, this.steps); // what is to be done comes first
    this.lines = [];
    this.ended = "";
    this.told = "";
  }

  show(run) {
    const [tone, word] = STATES[run.state];
    put(this.state, word);
    this.state.className = `badge ${tone}`;
    this.root.className = `card ${{ good: "link-up", bad: "link-down" }[tone] || ""}`;
    const step = run.steps[run.steps.length - 1];
    put(this.facts, `Board ${run.board}${run.state === "at work" && step ? `: ${step.name}` : ""}`);
    if (run.steps.length < this.lines.length) {
      this.steps.replaceChildren(); // it was begun again
      this.lines = [];
    }
    run.steps.forEach((step, at) => this.showStep(run, step, at));
    this.showEnd(run);
    this.tell(run);
  }

  showStep(run, step, at) {
    if (!this.lines[at]) {
      const line = { root: make("li"), outcome: make("span", "quiet"), name: make("span"), detail: make("span", "detail") };
      line.bar = make("progress");
      line.bar.max = 100;
      line.root.append(line.outcome, line.name, line.detail, line.bar);
      this.steps.append(line.root);
      this.lines[at] = line;
    }
    const line = this.lines[at];
    const isLast = at === run.steps.length - 1;
    const isGoing = isLast && !step.outcome && run.state === "at work";
    const stopped = isLast && !step.outcome && run.state === "failed";
    put(line.name, step.name);
    put(line.outcome, step.outcome || (stopped ? "\u2716 failed" : "\u2026"));
    put(line.detail, step.detail);
    line.detail.hidden = !step.detail;
    line.bar.hidden = !isGoing;
    line.bar.setAttribute("aria-label", step.name);
    if (run.percent === null) line.bar.removeAttribute("value");
    else line.bar.value = run.percent;
  }

  showEnd(run) {
    const now = JSON.stringify([run.state, run.failure, run.line, run.board]);
    if (now === this.ended) return;
    this.ended = now;
    this.end.replaceChildren();
    this.end.hidden = run.state === "at work";
    if (run.state === "failed") this.showFailure(run);
    if (run.state === "accepted") this.showDone(run);
  }

  showFailure(run) {
    const { outcome, message, hint } = run.failure;
    const what = make("p", "bad note");
    what.append(make("strong", "", outcome), `: ${message}`);
    this.end.append(what, make("p", "hint", hint));
    const later = make("input");
    later.type = "checkbox";
    later.checked = run.silent;
    if (hint.includes("--no-devices")) {
      const tick = make("label", "tick");
      tick.append(later, "Devices come later (--no-devices)");
      this.end.append(tick);
    }
    if (/--(?!no-devices|bed|id|port|drive)\w/.test(hint)) {
      this.end.append(make("p", "quiet", "An option is given in the terminal, where this page is started."));
    }
    const button = make("button", "go-on", "Go on with the same bed and board");
    button.type = "button";
    button.addEventListener("click", () => begin(run.bed, run.board, later.checked));
    this.end.append(button);
  }

  showDone(run) {
    const { gateway, acceptance, entry } = run.done;
    this.end.append(make("p", "", `Gateway ${gateway}`));
    this.end.append(make("p", "", `Keeps its devices for ${Math.round(acceptance.hours)} hours without any site.`));
    const line = run.line ? `line ${run.line.line}, ${run.line.event} ${run.line.at}, ` : "";
    this.end.append(make("p", "register", `In the register: ${line}${entry}`));
    this.label();
  }

  async label() {
    const answer = await ask(`api/label?bed=${encodeURIComponent(this.bed)}`);
    if (!answer.ok) return;
    const source = `data:image/svg+xml,${encodeURIComponent(await answer.text())}`;
    const image = make("img", "label");
    image.src = source;
    image.alt = `Label of ${this.bed}`;
    const button = make("button", "", "Print the label");
    button.type = "button";
    button.addEventListener("click", () => printLabel(source));
    this.end.querySelectorAll(".label, button").forEach((old) => old.remove());
    this.end.append(image, button);
  }

  tell(run) {
    const step = run.steps[run.steps.length - 1];
    const text = run.state === "at work" ? `${run.bed}: ${step ? step.name : "begins"}` : `${run.bed}: ${run.state}`;
    if (text !== this.told) say(text);
    this.told = text;
  }
}

async function printLabel(source) {
  const image = make("img");
  image.alt = "";
  image.src = source;
  $("print").replaceChildren(image);
  await image.decode();
  window.print();
}

// --- what may be ordered ---

function describe(bed) {
  const last = bed.last ? `${LASTS[bed.last.event] || bed.last.event} ${bed.last.at.slice(0, 10)}` : "new";
  return `${bed.name} \u2014 ${last}${bed.board ? `, ${bed.board}` : ""}`;
}

function showBeds(state) {
  const select = $("bed");
  const texts = state.beds.map(describe);
  const now = JSON.stringify(texts);
  if (select.dataset.rows === now) return;
  select.dataset.rows = now;
  const chosen = select.value;
  select.replaceChildren(...state.beds.map((bed, at) => new Option(texts[at], bed.name)));
  select.value = state.beds.some((bed) => bed.name === chosen) ? chosen : nextBed(state);
}

function isOpen(state, bed) {
  const isBegun = state.runs.some((run) => run.bed === bed.name);
  return !isBegun && (!bed.last || bed.last.event === "provisioned");
}

function nextBed(state) {
  const found = state.beds.find((bed) => isOpen(state, bed)) || state.beds[0];
  return found ? found.name : "";
}

function showBoards(state) {
  const busy = new Map(state.runs.filter((run) => run.state === "at work").map((run) => [run.board, run.bed]));
  const rows = state.boards.map((board) => ({
    id: board.id,
    busy: busy.has(board.id),
    text: `${board.id} \u2014 ${board.port || board.drive}, ${board.what}` +
      (busy.has(board.id) ? `; is set up for ${busy.get(board.id)}` : board.bed ? `; was for ${board.bed}` : ""),
  }));
  $("no-board").hidden = rows.length > 0;
  const now = JSON.stringify(rows);
  if ($("boards").dataset.rows === now) return;
  $("boards").dataset.rows = now;
  const chosen = chosenBoard();
  const hadFocus = $("boards").contains(document.activeElement);
  $("boards").replaceChildren(...rows.map((row) => {
    const label = make("label");
    const radio = make("input");
    radio.type = "radio";
    radio.name = "board";
    radio.value = row.id;
    radio.disabled = row.busy;
    radio.checked = row.id === chosen && !row.busy;
    label.append(radio, make("span", "", row.text));
    return label;
  }));
  const free = [...$("boards").querySelectorAll("input:not(:disabled)")];
  if (free.length === 1 && free[0].value !== chosen) {
    free[0].checked = true;
    follow(state);
  }
  if (hadFocus) ($("boards").querySelector("input:checked") || free[0] || $("begin")).focus();
}

function chosenBoard() {
  const found = $("boards").querySelector("input:checked");
  return found ? found.value : "";
}

// A board that this computer knows goes on with its bed; another does not take a bed that is done.
function follow(state) {
  const board = state.boards.find((one) => one.id === chosenBoard());
  const own = state.beds.find((bed) => board && bed.name === board.bed);
  const chosen = state.beds.find((bed) => bed.name === $("bed").value);
  if (own) $("bed").value = own.name;
  else if (chosen && !isOpen(state, chosen)) $("bed").value = nextBed(state);
}

function showButton() {
  const board = chosenBoard();
  const works = shown && shown.runs.some((run) => run.state === "at work" && run.bed === $("bed").value);
  $("begin").disabled = !board || !$("bed").value || works || shown.ending;
}

// Returns whether a run has begun.
async function begin(bed, board, silent) {
  refused("");
  let answer;
  try {
    answer = await ask("api/runs", { method: "POST", body: JSON.stringify({ bed, board, silent }) });
  } catch {
    refused("The page is not answered any more.");
    return false;
  }
  if (answer.ok) return true;
  const why = await answer.json();
  refused(`${why.message}. ${why.hint}`);
  return false;
}

function refused(text) {
  put($("refused"), text);
  $("refused").hidden = !text;
}

// --- all of it ---

function show(state) {
  const isFirst = shown === null;
  shown = state;
  if (isFirst) $("silent").checked = state.silent;
  showBeds(state);
  showBoards(state);
  for (const run of state.runs) {
    if (!cards.has(run.bed)) {
      const card = new Card(run.bed);
      cards.set(run.bed, card);
      $("runs").append(card.root);
    }
    cards.get(run.bed).show(run);
  }
  showButton();
  if (state.trouble) banner(`${state.trouble.message}. ${state.trouble.hint}`);
  else banner(state.ending ? "The page is being ended: each run goes on to the end of its step." : "");
}

async function watch() {
  for (;;) {
    let state = null;
    try {
      const answer = await ask(`api/state?seen=${seen}`);
      if (answer.status === 403) {
        banner("This page may not do anything. Open the address that the terminal shows.");
        return;
      }
      state = await answer.json();
    } catch {
      banner("The page was ended in its terminal. Nothing is lost: start it again there.");
      $("begin").disabled = true;
    }
    if (state) {
      seen = state.number;
      show(state);
    }
    await new Promise((after) => setTimeout(after, state ? BREATH_MS : AGAIN_MS));
  }
}

$("order").addEventListener("submit", async (event) => {
  event.preventDefault();
  if ($("begin").disabled) return;
  $("begin").disabled = true; // until the next state says more
  const bed = $("bed").value;
  if (await begin(bed, chosenBoard(), $("silent").checked)) {
    const others = { ...shown, runs: [...shown.runs, { bed }] };
    $("bed").value = nextBed(others);
  } else showButton();
});
$("boards").addEventListener("change", () => {
  follow(shown);
  showButton();
});
$("bed").addEventListener("change", showButton);
watch();
