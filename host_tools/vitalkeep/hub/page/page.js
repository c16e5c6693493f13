"use strict";
// The live page: one snapshot, then changes, by server-sent events. It only ever reads.
// Everything that came over the wire is set as text, never as markup.

const STORY_MAX = 200;
const TRENDS_MAX = 32; // beds whose trends are asked for at once
const AGAIN_MS = 5000; // until a question that was not answered is put again
const SPARE_MS = 4; // of a frame, for cards that nobody looks at
const MARKS = { good: "\u2713", info: "\u2022", warn: "!", bad: "\u2716" };

const cards = new Map(); // gateway id -> card
let order = []; // the cards by the beds' names
let turn = 0; // index of the card off screen that was painted last
let story = [];
let health = null;
let connected = false;
let isDue = false; // a frame is asked for
let isAsking = false; // for trends, or it is too early to ask again
const names = new Intl.Collator(undefined, { numeric: true });
const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "numeric", second: "numeric" });

// --- beds: a ward may have a thousand, of which a screen shows ten ---

const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const card = cards.get(target.dataset.gateway);
    if (card && card.isSeen !== isIntersecting) card.see(isIntersecting);
  }
  paintSoon();
}, { rootMargin: "25% 0px" });

function showBeds(beds) {
  let isMoved = false;
  for (const bed of beds) {
    let card = cards.get(bed.id);
    isMoved ||= !card || (bed.bed !== undefined && bed.bed !== card.bed.bed);
    if (card) card.take(bed);
    else {
      card = new Card(bed);
      card.root.dataset.gateway = bed.id;
      cards.set(bed.id, card);
      watcher.observe(card.root);
    }
  }
  if (isMoved) putInOrder();
  const down = order.filter((card) => card.bed.link !== "up").length;
  chip("chip-beds", down ? "warn" : "good", `Beds: ${order.length - down} of ${order.length} heard`);
  paintSoon();
}

function keepOnly(beds) {
  const ids = new Set(beds.map((bed) => bed.id));
  for (const [id, card] of cards) {
    card.forget();
    if (ids.has(id)) continue;
    watcher.unobserve(card.root);
    card.root.remove();
    cards.delete(id);
  }
  putInOrder();
}

function putInOrder() {
  order = [...cards.values()].sort((a, b) => names.compare(a.bed.bed, b.bed.bed));
  order.forEach((card, index) => {
    if ($("beds").children[index] !== card.root) {
      $("beds").insertBefore(card.root, $("beds").children[index] || null);
    }
  });
  $("empty").hidden = cards.size > 0;
}

function paintSoon() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(paint);
}

// What is on screen is as new as what was heard. The rest has its turn in spare time, for whoever
// searches the page or has it read aloud.
function paint() {
  isDue = false;
  for (const card of order) if (card.isSeen) card.paint();
  const until = performance.now() + SPARE_MS;
  for (let left = order.length; left > 0 && performance.now() < until; left -= 1) {
    turn = (turn + 1) % order.length;
    if (!order[turn].isSeen) order[turn].paint();
  }
}

async function askForTrends() {
  if (isAsking) return;
  const wanted = order.filter((card) => card.isSeen && !card.hasPast).slice(0, TRENDS_MAX);
  if (!wanted.length) return;
  isAsking = true;
  for (const card of wanted) card.hasPast = true;
  let pause_ms = 0;
  try {
    const ids = wanted.map((card) => card.bed.id);
    const answer = await fetch(`api/ward/trends?gateway=${ids}`, { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.statusText);
    const found = await answer.json();
    for (const card of wanted) if (card.isSeen) card.takePasts(found[card.bed.id] || {});
    paintSoon();
  } catch {
    for (const card of wanted) card.hasPast = false;
    pause_ms = AGAIN_MS;
  }
  setTimeout(() => { isAsking = false; }, pause_ms);
}

// --- the hub ---

function chip(id, tone, text) {
  setClass($(id), `chip ${tone}`);
  put($(id), text);
}

function showHealth(found) {
  health = found;
  chip("chip-store", found.receipting ? "good" : "bad",
    found.receipting ? "\u2713 Receipting" : "\u2716 Not receipting");
  chip("chip-broker", found.broker.connected ? "good" : "bad",
    found.broker.connected ? "\u2713 Broker" : "\u2716 Broker not reached");
  showSites(found.exchange && found.exchange.brief);
  showRoom(found.room);
  $("chip-load").hidden = !found.shedding;
  if (found.shedding) chip("chip-load", "warn", "! Under load: refreshed every few seconds");
  showAttained(found.attained);
  showBanner();
}

function showSites(sites) {
  $("chip-sites").hidden = !sites;
  if (!sites) return;
  if (sites.up < sites.peers) {
    chip("chip-sites", "bad", `\u2716 ${sites.up} of ${sites.peers} other sites`);
  } else if (sites.behind.length) {
    chip("chip-sites", "bad", `\u2716 Sites differ in class ${sites.behind.join(", ")}`);
  } else {
    chip("chip-sites", "good", `\u2713 Other sites: ${sites.up}`);
  }
}

function showRoom(room) {
  $("chip-room").hidden = !room || room.free_bytes === null;
  if ($("chip-room").hidden) return;
  const days = room.days_until_full;
  const tone = room.full || (days !== null && days < 7) ? "bad" : days !== null && days < 30 ? "warn" : "good";
  const words = days === null ? `${bytes(room.free_bytes)} free` : `Full in ${duration(days * 86400)}`;
  chip("chip-room", tone, `${tone === "good" ? "\u2713" : tone === "warn" ? "!" : "\u2716"} Store: ${words}`);
}

// What was attained, beside what the plan asks for: a word says which, colour only adds to it.
function showAttained(classes) {
  const text = JSON.stringify(classes);
  $("attained").hidden = !classes;
  if (!classes || text === showAttained.text) return;
  showAttained.text = text;
  const judged = (seconds, plan) => {
    const cell = make("td");
    if (seconds === null) cell.append(make("span", "", "not known yet"));
    else {
      const good = seconds <= plan;
      const word = seconds === 0 ? "none" : duration(seconds);
      cell.append(make("span", good ? "good" : "bad", `${word}, plan ${duration(plan)}${good ? "" : ": missed"}`));
    }
    return cell;
  };
  $("attained-rows").replaceChildren(
    ...Object.entries(classes).map(([name, found]) => {
      const row = make("tr");
      const head = make("th");
      head.setAttribute("scope", "row");
      head.append(make("span", `class class-${name}`, name));
      const share = found.span_s ? `${(Math.floor((found.stored_s / found.span_s) * 1e4) / 100).toFixed(2)} %` : "not known yet";
      row.append(head, judged(found.rpo_s, found.plan.rpo_s), judged(found.rto_s, found.plan.rto_s), make("td", "", share));
      return row;
    }),
  );
}

function showBanner() {
  let text = "";
  if (!connected) {
    text = "The connection to the hub is lost. What stands below is getting old.";
  } else if (health && !health.receipting) {
    text = `Not receipting: ${health.reason}. The gateways keep their values until this works again.`;
  } else if (health && !health.broker.connected) {
    text = `The broker cannot be reached (${health.broker.last_error || "not yet"}). The gateways keep their values.`;
  } else if (health && !health.ready) {
    text = `Not ready: ${health.not_ready.join("; ")}.`;
  } else if (health && health.continuity && health.continuity.cut_off) {
    text = `This site is cut off: ${health.continuity.evidence.join(", ")}. The gateways keep their values.`;
  } else if (health && Object.keys(health.strangers).length) {
    text = `Unknown gateways are sending: ${Object.keys(health.strangers).join(", ")}. They are ignored.`;
  }
  put($("banner"), text);
  $("banner").hidden = !text;
}

// Many beds have many counters: they are shown while somebody looks.
function showCounters() {
  if (!$("counters").closest("details").open) return;
  const found = [];
  const add = (who, counters) => {
    for (const [name, value] of Object.entries(counters).sort()) {
      found.push([`${who}: ${name.replaceAll("_", " ")}`, String(value)]);
    }
  };
  if (health) add("hub", health.counters);
  for (const { bed } of order) add(bed.bed, bed.counters);
  const rows = $("counters").children;
  if (rows.length !== found.length || found.some(([name], at) => rows[at].firstChild.textContent !== name)) {
    $("counters").replaceChildren(
      ...found.map(([name]) => {
        const row = make("div");
        row.append(make("span", "quiet", name), make("span"));
        return row;
      }),
    );
  }
  found.forEach(([, value], at) => put(rows[at].lastChild, value));
}

function showStory(lines, fresh) {
  const known = new Set(story.map((line) => line.n));
  story = fresh ? lines.slice() : story.concat(lines.filter((line) => !known.has(line.n)));
  story.sort((a, b) => (b.at ?? Infinity) - (a.at ?? Infinity) || 0);
  story = story.slice(0, STORY_MAX);
  $("story").replaceChildren(
    ...story.map((line) => {
      const item = make("li");
      const when = line.at === null ? "time ?" : clock.format(line.at);
      item.append(
        make("span", "quiet", when),
        make("span", "", line.bed || "Hub"),
        make("span", line.tone, `${MARKS[line.tone] || ""} ${line.text}`),
      );
      return item;
    }),
  );
}

function listen() {
  const source = new EventSource("events");
  source.addEventListener("snapshot", (event) => {
    const data = JSON.parse(event.data);
    connected = true;
    hub.offset = data.now - Date.now();
    hub.stale = data.stale_s;
    hub.accountMinutes = data.account_minutes;
    put($("site"), data.site);
    put($("window"), `Bars: the last ${hub.accountMinutes} minutes, or since the first value`);
    keepOnly(data.beds);
    showHealth(data.health);
    showBeds(data.beds);
    showStory(data.story, true);
  });
  source.addEventListener("beds", (event) => {
    const data = JSON.parse(event.data);
    hub.offset = data.now - Date.now();
    showBeds(data.beds);
  });
  source.addEventListener("story", (event) => showStory(JSON.parse(event.data), false));
  source.addEventListener("health", (event) => showHealth(JSON.parse(event.data)));
  source.onopen = () => {
    connected = true;
    showBanner();
  };
  source.onerror = () => {
    connected = false;
    showBanner();
    // The browser tries again by itself, unless the hub answered with an error.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  };
}

// Ages go on by themselves: silence must look like silence.
setInterval(() => {
  paintSoon();
  askForTrends();
  put($("clock"), clock.format(now()));
}, 250);
setInterval(showCounters, 1000);
$("counters").closest("details").addEventListener("toggle", showCounters);
listen();
