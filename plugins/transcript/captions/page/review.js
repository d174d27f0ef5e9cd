"use strict";
// Shows what is doubtful, plays it, and saves what a person has made of it. All text enters the page as text.
const data = JSON.parse(document.getElementById("data").textContent);
const language = navigator.language.toLowerCase().startsWith("fr") ? "fr" : "en";
const own = data.words[language] ?? {};
const say = (text, values = {}) => (own[text] ?? text).replace(/\{(\w+)\}/g, (_, name) => values[name]);
const percent = (share) => share.toLocaleString(language, { style: "percent" });
const media = document.getElementById("media");
const status = document.getElementById("status");
const items = [];
let current = -1;
let stopAt = Infinity;
let isDirty = false;

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function clock(milliseconds, digits = 0) {
  const two = (number) => String(number).padStart(2, "0");
  const seconds = Math.floor(milliseconds / 1000);
  const rest = digits ? `.${String(milliseconds % 1000).padStart(3, "0")}` : "";
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}${rest}`;
}

// Media: the files beside this page in turn, then whatever a person opens.
const sources = [...data.media];

function tryNext() {
  const next = sources.shift();
  if (next === undefined) {
    media.removeAttribute("src");
    status.textContent = say("No media file was found beside this page: open the lecture to hear it.");
  } else {
    media.src = next;
  }
}

function play(item) {
  stopAt = item.cue.end / 1000;
  media.currentTime = Math.max(0, item.cue.start / 1000 - 1);
  media.play().catch(() => {});
}

media.addEventListener("error", tryNext);
media.addEventListener("timeupdate", () => {
  if (media.currentTime >= stopAt) {
    stopAt = Infinity;
    media.pause();
  }
});
document.getElementById("open").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (!file) return;
  sources.length = 0;
  status.textContent = "";
  media.src = URL.createObjectURL(file);
});

// The list.
function select(number, { focus = true } = {}) {
  if (number < 0 || number >= items.length) return;
  items[current]?.element.classList.remove("current");
  current = number;
  items[current].element.classList.add("current");
  if (focus) items[current].button.focus();
}

function heard(cue) {
  const parts = cue.runs.map(([text, isDoubtful]) => (isDoubtful ? make("mark", {}, text) : text));
  return make("p", { className: "heard", lang: cue.language ?? data.language, dir: "auto" }, ...parts);
}

function itemOf(cue) {
  const time = clock(cue.start);
  const button = make("button", { type: "button", className: "play", ariaLabel: say("Play {time}", { time }) }, `▶ ${time}`);
  const area = make("textarea", {
    value: cue.text, rows: 2, lang: cue.language ?? data.language, dir: "auto", spellcheck: true, ariaLabel: say("Text at {time}", { time }),
  });
  const about = cue.why ? say(cue.why) : cue.doubtful ? say("least sure word: {percent}", { percent: percent(cue.confidence) }) : "";
  const side = make("div", {}, button, make("span", { className: "note" }, about));
  const element = make("li", { className: "cue" }, side, make("div", {}, ...(cue.doubtful ? [heard(cue)] : []), area));
  const item = { cue, element, button, area };
  const number = items.push(item) - 1;
  button.addEventListener("click", () => play(item));
  element.addEventListener("focusin", () => select(number, { focus: false }));
  area.addEventListener("input", () => {
    isDirty = true;
    element.classList.toggle("changed", area.value !== cue.text);
  });
  return element;
}

function list(title, cues, { always = false } = {}) {
  if (!cues.length && !always) return;
  const name = make("h2", {}, `${say(title)} (${cues.length})`);
  const body = cues.length ? make("ol", {}, ...cues.map(itemOf)) : make("p", {}, say("None."));
  document.getElementById("lists").append(make("section", {}, name, body));
}

// Keys.
document.addEventListener("keydown", (event) => {
  const isText = event.target.matches("textarea");
  if (isText && event.key === "Escape") return items[current].button.focus();
  if (isText && event.key === "Enter" && event.ctrlKey) return play(items[current]);
  if (isText || event.ctrlKey || event.metaKey || event.altKey) return undefined;
  if (event.key === "n") return select(current + 1);
  if (event.key === "p") return select(current - 1);
  if (event.key === "e" && current >= 0) {
    event.preventDefault();
    return items[current].area.focus();
  }
  if ((event.key === " " || event.key === "Enter") && event.target === document.body && items.length) {
    event.preventDefault();
    if (current < 0) select(0);
    return play(items[current]);
  }
  return undefined;
});

// What is saved: a caption whose text was emptied is left out, speech that was written down is in.
function webvtt() {
  const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const lines = (text) => text.split(/\r?\n/).map((line) => line.trim()).filter(Boolean).join("\n");
  const spoken = (text, { language }) => (language ? `<lang ${language}>${text}</lang>` : text);
  const blocks = items
    .map(({ cue, area }) => ({ cue, text: lines(area.value) }))
    .filter(({ text }) => text)
    .sort((one, other) => one.cue.start - other.cue.start)
    .map(({ cue, text }) => `${clock(cue.start, 3)} --> ${clock(cue.end, 3)}\n${spoken(escaped(text), cue)}\n`);
  return ["WEBVTT\n", ...blocks].join("\n");
}

document.getElementById("save").addEventListener("click", () => {
  const address = URL.createObjectURL(new Blob([webvtt()], { type: "text/vtt" }));
  make("a", { href: address, download: data.file }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
  isDirty = false;
  const values = { name: data.file, command: `amphipod captions import ${data.file} ${data.job}` };
  status.textContent = say("Saved as {name}; bring it back with: {command}", values);
});
addEventListener("beforeunload", (event) => {
  if (isDirty) event.preventDefault();
});

document.documentElement.lang = language;
for (const element of document.querySelectorAll("[data-words]")) element.textContent = say(element.textContent);
const doubtful = data.cues.filter((cue) => cue.doubtful);
const summary = [say("{doubtful} of {all} captions are doubtful.", { doubtful: doubtful.length, all: data.cues.length })];
if (data.mean !== undefined) {
  const values = { mean: percent(data.mean), share: percent(data.share) };
  summary.push(say("Mean confidence {mean}, {share} of the words below 50%.", values));
}
document.getElementById("summary").textContent = summary.join(" ");
list("Doubtful captions", doubtful, { always: true });
list("Speech without captions", data.gaps);
list("Other captions", data.cues.filter((cue) => !cue.doubtful));
tryNext();
