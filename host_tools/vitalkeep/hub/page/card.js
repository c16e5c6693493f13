"use strict";
// A bed's card. What the hub says is kept at once; the elements follow when the card is painted.

const SVG = "http://www.w3.org/2000/svg";
const TREND_MAX = 90;
const BAR_MIN_MS = 120000;
const UNITS = { Cel: "\u00B0C", "mm[Hg]": "mmHg", "mbar.s/L": "mbar/(L/s)", 1: "" }; // UCUM as people write it
const LINKS = {
  up: ["good", "\u25CF link up"],
  down: ["bad", "\u2716 link down"],
  unknown: ["warn", "? link not known"],
  never: ["warn", "\u25CB not heard yet"],
};
const STATES = ["", "no value", "questionable", "over range", "under range"];

// What the hub said of itself; offset: its clock minus ours, in ms.
const hub = { offset: 0, stale: { A: [5, 10], B: [30, 60], C: [150, 300] }, accountMinutes: 60 };

const now = () => Date.now() + hub.offset;

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

const link = (bed) => LINKS[bed.link] || LINKS.unknown;
const alarm = ([priority, text]) => `\u25B2 ${priority} alarm: ${text}`;
const pastKey = (device, label) => `${device.name}\n${label}`;

class Card {
  constructor(bed) {
    this.bed = {};
    this.hasNews = true; // since it was painted
    this.isSeen = false; // on screen, or about to be
    this.hasPast = false; // the trends were asked for
    this.pasts = new Map(); // device and label -> numbers of a card that is seen, time of the last
    this.alarms = new Map(); // device -> its alarms in words, as they were announced
    this.devices = new Map(); // device -> its elements
    this.root = make("article");
    const head = make("div", "card-head");
    this.name = make("h2");
    this.link = make("span", "badge");
    head.append(this.name, this.link);
    this.root.append(head);
    this.take(bed);
    this.paintHead();
  }

  // Keep what is new, and announce what must not wait until somebody looks.
  take(news) {
    const before = this.bed.link;
    Object.assign(this.bed, news);
    this.hasNews = true;
    if (before && before !== this.bed.link) say(`${this.bed.bed}: ${link(this.bed)[1].slice(2)}`);
    if (!news.devices) return;
    const alarms = new Map();
    for (const device of news.devices) {
      const words = (device.alarms || []).map(alarm).join("; ");
      if (words && words !== this.alarms.get(device.name)) say(`${this.bed.bed}, ${device.name}: ${words}`);
      alarms.set(device.name, words);
      if (this.isSeen) this.extend(device);
    }
    this.alarms = alarms;
  }

  // --- trends, of cards that are seen ---

  see(isSeen) {
    this.isSeen = isSeen;
    this.forget();
  }

  forget() {
    this.hasPast = false;
    this.pasts.clear();
    for (const parts of this.devices.values()) {
      for (const value of parts.values.values()) value.line.removeAttribute("points");
    }
  }

  takePasts(devices) {
    for (const device of this.bed.devices) {
      for (const [label, text, , , at] of device.values) {
        const found = (devices[device.name] || {})[label];
        if (!found) continue;
        // The stream of events may be ahead of the answer, or behind it.
        const isAhead = at > found.at && text !== null;
        const numbers = isAhead ? [...found.past, Number(text)].slice(-TREND_MAX) : found.past;
        this.pasts.set(pastKey(device, label), { numbers, at: isAhead ? at : found.at, isDrawn: false });
      }
    }
  }

  extend(device) {
    for (const [label, text, , , at] of device.values) {
      const key = pastKey(device, label);
      const past = this.pasts.get(key) || { numbers: [] };
      if (text === null || past.at === at) continue;
      const numbers = [...past.numbers, Number(text)].slice(-TREND_MAX);
      this.pasts.set(key, { numbers, at, isDrawn: false });
    }
  }

  draw(past, value) {
    if (!past || past.isDrawn) return;
    past.isDrawn = true;
    const low = Math.min(...past.numbers);
    const span = Math.max(...past.numbers) - low || 1;
    const points = past.numbers.map((number, index) => {
      const x = past.numbers.length > 1 ? (index * 100) / (past.numbers.length - 1) : 100;
      return `${x.toFixed(1)},${(18 - ((number - low) / span) * 16).toFixed(1)}`;
    });
    value.line.setAttribute("points", points.join(" "));
  }

  // --- elements ---

  paint() {
    if (this.hasNews) {
      this.hasNews = false;
      if (!this.list) this.makeBody();
      this.paintHead();
      this.updateDevices(this.bed.devices);
      this.updateAccounts(this.bed.account);
      this.updateFacts(this.bed);
    }
    if (this.isSeen) this.paintTrends();
    this.tick();
  }

  makeBody() {
    this.list = make("div", "devices");
    this.accounts = make("div", "accounts");
    this.facts = make("dl", "facts");
    this.root.append(this.list, this.accounts, this.facts);
  }

  paintHead() {
    const [tone, words] = link(this.bed);
    put(this.name, this.bed.bed);
    this.root.setAttribute("aria-label", this.bed.bed);
    setClass(this.root, `card link-${this.bed.link}${this.list ? "" : " blank"}`);
    setClass(this.link, `badge ${tone}`);
    put(this.link, words);
  }

  paintTrends() {
    for (const { device, values } of this.devices.values()) {
      for (const [label, value] of values) this.draw(this.pasts.get(pastKey(device, label)), value);
    }
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
    if (parts.device === device) return;
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
    }
    if (parts.values.size > device.values.length) {
      const labels = new Set(device.values.map(([label]) => label));
      for (const [label, value] of parts.values) {
        if (labels.has(label)) continue;
        value.root.remove();
        parts.values.delete(label);
      }
    }
    const words = this.alarms.get(device.name);
    if (parts.words === words) return;
    parts.words = words;
    parts.alarms.replaceChildren(
      ...(device.alarms || []).map((found) => {
        const tone = found[0] === "high" || found[0] === "medium" ? "bad" : "warn";
        return make("li", tone, alarm(found));
      }),
    );
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

  updateAccounts(account) {
    if (account === this.account) return;
    this.account = account;
    const end = now();
    const lines = Object.entries(account).map(([name, found]) => {
      // A bed that is new today fills its bar from its first value on.
      const first = found.segments.length ? found.segments[0][0] : end;
      const start = Math.max(end - hub.accountMinutes * 60000, Math.min(first, end - BAR_MIN_MS));
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

  tick() {
    for (const parts of this.devices.values()) {
      const device = parts.device;
      const [late, lost] = hub.stale[device.cls] || hub.stale.C;
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
