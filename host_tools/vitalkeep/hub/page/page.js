"use strict";
// The live page: one snapshot, then changes, by server-sent events. It only ever reads.
// Everything that came over the wire is set as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";
const TREND_MAX = 90;
const BAR_MIN_MS = 120000;
const UNITS = { Cel: "\u00B0C", "mm[Hg]": "mmHg", "mbar.s/L": "mbar/(L/s)", 1: "" }; // UCUM as people write it
const STORY_MAX = 200;
const LINKS = {
  up: ["good", "\u25CF link up"],
  down: ["bad", "\u2716 link down"],
  unknown: ["warn", "? link not known"],
  never: ["warn", "\u25CB not heard yet"],
};
const MARKS = { good: "\u2713", info: "\u2022", warn: "!", bad: "\u2716" };
const STATES = ["", "no value", "questionable", "over range", "under range"];

const $ = (id) => document.getElementById(id);
const cards = new Map(); // gateway id -> card
let offset = 0; // the hub's clock minus ours, in ms
let stale = { A: [5, 10], B: [30, 60], C: [150, 300] };
let accountMinutes = 60;
let story = [];
let health = null;
let connected = false;

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setClass(element, name) {
  if (element.className !== name) element.className = name;
}

const now = () => Date.now() + offset;

function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} d`;
}

function bytes(count) {
  if (count < 1000) return `${count} B`;
  if (count < 1e6) return `${(count / 1000).toFixed(1)} kB`;
  return `${(count / 1e6).toFixed(1)} MB`;
}

function say(text) {
  $("live").textContent = text;
}

// --- a bed ---

class Card {
  constructor(bed) {
    this.trends = new Map(); // device and label -> numbers
    this.seen = new Map(); // device and label -> time of the last number in the trend
    this.devices = new Map(); // device -> its elements
    this.root = make("article", "card");
    const head = make("div", "card-head");
    this.name = make("h2");
    this.link = make("span", "badge");
    head.append(this.name, this.link);
    this.list = make("div", "devices");
    this.accounts = make("div", "accounts");
    this.facts = make("dl", "facts");
    this.root.append(head, this.list, this.accounts, this.facts);
    this.update(bed);
  }

  update(bed) {
    const before = this.bed;
    this.bed = bed;
    put(this.name, bed.bed);
    this.root.setAttribute("aria-label", bed.bed);
    const [tone, words] = LINKS[bed.link] || LINKS.unknown;
    setClass(this.link, `badge ${tone}`);
    put(this.link, words);
    setClass(this.root, `card link-${bed.link}`);
    if (before && before.link !== bed.link) say(`${bed.bed}: ${words.slice(2)}`);
    this.updateDevices(bed.devices);
    this.updateAccounts(bed.account);
    this.updateFacts(bed);
    this.tick();
  }

  updateDevices(devices) {
    const wanted = new Set(devices.map((device) => device.name));
    for (const [name, parts] of this.devices) {
      if (!wanted.has(name)) {
        parts.root.remove();
        this.devices.delete(name);
      }
    }
    devices.forEach((device, index) => {
      let parts = this.devices.get(device.name);
      if (!parts) {
        parts = this.makeDevice();
        this.devices.set(device.name, parts);
      }
      if (this.list.children[index] !== parts.root) {
        this.list.insertBefore(parts.root, this.list.children[index] || null);
      }
      this.updateDevice(parts, device);
    });
  }

  makeDevice() {
    const parts = { root: make("section", "device"), values: new Map() };
    const head = make("div", "device-head");
    parts.cls = make("span", "class");
    parts.name = make("h3");
    parts.protocol = make("span", "quiet");
    parts.age = make("span", "age");
    head.append(parts.cls, parts.name, parts.protocol, parts.age);
    parts.list = make("dl", "values");
    parts.alarms = make("ul", "alarms");
    parts.root.append(head, parts.list, parts.alarms);
    return parts;
  }

  updateDevice(parts, device) {
    parts.device = device;
    put(parts.name, device.name);
    put(parts.protocol, device.protocol || "never heard");
    parts.cls.hidden = !device.cls;
    setClass(parts.cls, `class class-${device.cls}`);
    put(parts.cls, device.cls || "");
    parts.cls.setAttribute("aria-label", `class ${device.cls}`);
    for (const [label, text, state, unit, at] of device.values) {
      let value = parts.values.get(label);
      if (!value) {
        value = this.makeValue(label);
        parts.values.set(label, value);
        parts.list.append(value.root);
      }
      value.at = at;
      put(value.number, text === null ? "--" : text);
      put(value.unit, UNITS[unit] ?? unit ?? "");
      put(value.state, STATES[state] || "");
      this.trend(`${device.name}\n${label}`, device, label, text, at, value);
    }
    for (const [label, value] of parts.values) {
      if (!device.values.some((entry) => entry[0] === label)) {
        value.root.remove();
        parts.values.delete(label);
      }
    }
    const alarms = (device.alarms || []).map(([priority, text]) => {
      const tone = priority === "high" || priority === "medium" ? "bad" : "warn";
      return make("li", tone, `\u25B2 ${priority} alarm: ${text}`);
    });
    const words = alarms.map((item) => item.textContent).join("; ");
    if (parts.words !== words) {
      parts.words = words;
      parts.alarms.replaceChildren(...alarms);
      if (words) say(`${this.bed.bed}, ${device.name}: ${words}`);
    }
  }

  makeValue(label) {
    const value = { root: make("div", "value") };
    value.number = make("span", "number");
    value.unit = make("span", "unit");
    value.state = make("span", "state");
    const data = make("dd");
    data.append(value.number, value.unit, value.state);
    value.spark = document.createElementNS(SVG, "svg");
    value.spark.setAttribute("class", "spark");
    value.spark.setAttribute("viewBox", "0 0 100 20");
    value.spark.setAttribute("preserveAspectRatio", "none");
    value.spark.setAttribute("aria-hidden", "true");
    value.line = document.createElementNS(SVG, "polyline");
    value.spark.append(value.line);
    value.root.append(make("dt", "", label), data, value.spark);
    return value;
  }

  trend(key, device, label, text, at, value) {
    if (device.trends && device.trends[label]) {
      this.trends.set(key, device.trends[label].slice());
    } else if (text !== null && this.seen.get(key) !== at) {
      const past = this.trends.get(key) || [];
      past.push(Number(text));
      this.trends.set(key, past.slice(-TREND_MAX));
    } else {
      return;
    }
    this.seen.set(key, at);
    const past = this.trends.get(key);
    const low = Math.min(...past);
    const span = Math.max(...past) - low || 1;
    const points = past.map((number, index) => {
      const x = past.length > 1 ? (index * 100) / (past.length - 1) : 100;
      return `${x.toFixed(1)},${(18 - ((number - low) / span) * 16).toFixed(1)}`;
    });
    value.line.setAttribute("points", points.join(" "));
  }

  updateAccounts(account) {
    const text = JSON.stringify(account || {});
    if (text === this.accountText) return;
    this.accountText = text;
    const end = now();
    const lines = Object.entries(account || {}).map(([name, found]) => {
      // A bed that is new today fills its bar from its first value on.
      const first = found.segments.length ? found.segments[0][0] : end;
      const start = Math.max(end - accountMinutes * 60000, Math.min(first, end - BAR_MIN_MS));
      const line = make("div", "account-line");
      const bar = make("div", "bar");
      let at = start;
      const add = (upTo, kind) => {
        const width = ((Math.min(upTo, end) - Math.max(at, start)) / (end - start)) * 100;
        if (width > 0) {
          const part = make("i", kind);
          // A gap of seconds must not vanish in an hour's bar.
          part.style.width = `${kind === "gap" ? Math.max(width, 0.6) : width}%`;
          if (kind === "stored") part.style.flexShrink = "1";
          bar.append(part);
        }
        at = Math.max(at, upTo);
      };
      for (const [from, to, kind] of found.segments) {
        add(from, "");
        add(to, kind === "on its way" ? "coming" : kind);
      }
      const causes = Object.entries(found.causes).map(([why, s]) => `${why} ${duration(s)}`);
      const words = [`stored ${duration(found.stored_s)}`];
      if (found.coming_s >= 1) words.push(`on its way ${duration(found.coming_s)}`);
      words.push(causes.length ? `gap ${duration(found.gap_s)} (${causes.join(", ")})` : "no gap");
      if (found.undated) words.push(`${found.undated} values whose time is not known`);
      const badge = make("span", `class class-${name}`, name);
      badge.setAttribute("aria-label", `class ${name}`);
      line.append(badge, bar, make("p", "", words.join(" \u00B7 ")));
      return line;
    });
    this.accounts.replaceChildren(...lines);
    this.accounts.hidden = !lines.length;
  }

  updateFacts(bed) {
    const waiting = Object.entries(bed.classes).filter(([, found]) => found.backlog > 0);
    const backlog = waiting.map(([name, found]) => {
      const eta = found.eta_s === null ? "" : `, about ${duration(found.eta_s)}`;
      return `${name} ${bytes(found.backlog)}${eta}`;
    });
    const facts = [
      ["Backlog", backlog.join("; ") || "none"],
      ["Gateway clock", bed.clock],
      ["Log full in", bed.hours_left === null ? "not said" : duration(bed.hours_left * 3600)],
      ["Gateway", bed.id],
    ];
    if (bed.certificate_days !== null) {
      const days = bed.certificate_days;
      facts.push(["Certificate", days < 0 ? "has ended" : `good for ${days} days`]);
    }
    const text = JSON.stringify(facts);
    if (text === this.factsText) return;
    this.factsText = text;
    this.facts.replaceChildren(
      ...facts.map(([name, value]) => {
        const row = make("div");
        row.append(make("dt", "", name), make("dd", "", value));
        return row;
      }),
    );
  }

  // Ages go on by themselves: silence must look like silence.
  tick() {
    for (const parts of this.devices.values()) {
      const device = parts.device;
      const [late, lost] = stale[device.cls] || stale.C;
      const silent = device.state === "silent";
      if (device.at === null) {
        const known = device.values.length ? "time not known" : "no values yet";
        setClass(parts.age, "age warn");
        put(parts.age, silent ? `silent \u00B7 ${known}` : known);
      } else {
        const age = (now() - device.at) / 1000;
        const tone = age > lost ? "bad" : age > late || silent ? "warn" : "";
        const word = silent ? "silent \u00B7 " : age > lost ? "old \u00B7 " : age > late ? "late \u00B7 " : "";
        setClass(parts.age, `age ${tone}`);
        put(parts.age, word + duration(age));
      }
      for (const value of parts.values.values()) {
        const old = value.at === null || (now() - value.at) / 1000 > lost;
        setClass(value.root, old ? "value old" : "value");
      }
    }
  }
}

// --- the page ---

function showBeds(beds) {
  for (const bed of beds) {
    const card = cards.get(bed.id);
    if (card) card.update(bed);
    else cards.set(bed.id, new Card(bed));
  }
  const sorted = [...cards.values()].sort((a, b) =>
    a.bed.bed.localeCompare(b.bed.bed, undefined, { numeric: true }),
  );
  sorted.forEach((card, index) => {
    if ($("beds").children[index] !== card.root) {
      $("beds").insertBefore(card.root, $("beds").children[index] || null);
    }
  });
  $("empty").hidden = cards.size > 0;
  const down = sorted.filter((card) => card.bed.link !== "up").length;
  chip("chip-beds", down ? "warn" : "good", `Beds: ${sorted.length - down} of ${sorted.length} heard`);
  showCounters();
}

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
  showCounters();
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

function showCounters() {
  const rows = [];
  const add = (name, value) => {
    const row = make("div");
    row.append(make("span", "quiet", name), make("span", "", String(value)));
    rows.push(row);
  };
  if (health) {
    for (const [name, value] of Object.entries(health.counters).sort()) {
      add(`hub: ${name.replaceAll("_", " ")}`, value);
    }
  }
  for (const { bed } of cards.values()) {
    for (const [name, value] of Object.entries(bed.counters).sort()) {
      add(`${bed.bed}: ${name.replaceAll("_", " ")}`, value);
    }
  }
  $("counters").replaceChildren(...rows);
}

function showStory(lines, fresh) {
  const known = new Set(story.map((line) => line.n));
  story = fresh ? lines.slice() : story.concat(lines.filter((line) => !known.has(line.n)));
  story.sort((a, b) => (b.at ?? Infinity) - (a.at ?? Infinity) || 0);
  story = story.slice(0, STORY_MAX);
  $("story").replaceChildren(
    ...story.map((line) => {
      const item = make("li");
      const when = line.at === null ? "time ?" : new Date(line.at).toLocaleTimeString();
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
    offset = data.now - Date.now();
    stale = data.stale_s;
    accountMinutes = data.account_minutes;
    put($("site"), data.site);
    put($("window"), `Bars: the last ${accountMinutes} minutes, or since the first value`);
    const ids = new Set(data.beds.map((bed) => bed.id));
    for (const [id, card] of cards) {
      if (!ids.has(id)) {
        card.root.remove();
        cards.delete(id);
      }
    }
    showHealth(data.health);
    showBeds(data.beds);
    showStory(data.story, true);
  });
  source.addEventListener("beds", (event) => {
    const data = JSON.parse(event.data);
    offset = data.now - Date.now();
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

setInterval(() => {
  for (const card of cards.values()) card.tick();
  put($("clock"), new Date(now()).toLocaleTimeString());
}, 250);
listen();
