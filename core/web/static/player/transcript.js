// Lines with times that seek: the transcript, which can be searched and follows the film, and the chapters.

import { languageName } from "./words.js";

/** Call back with a track's cues, as soon as they are there. */
function withCues(element, callback) {
  if (element.track.mode === "disabled") element.track.mode = "hidden";
  if (element.readyState === HTMLTrackElement.LOADED) callback([...element.track.cues]);
  else element.addEventListener("load", () => callback([...element.track.cues]), { once: true });
}

export function chapters(root, video) {
  const place = root.querySelector(".player-chapters");
  const element = video.querySelector("track[kind=chapters]");
  if (!place || !element) return;
  withCues(element, (cues) => {
    const list = timedList(place.querySelector("ol"), cues.map((cue) => ({ start: cue.startTime, text: cue.getCueAsHTML().textContent })), video);
    place.hidden = !cues.length;
    video.addEventListener("timeupdate", () => list.mark(video.currentTime));
  });
}

/** Fill a list with lines that seek when they are clicked; one Tab stop, arrows go from line to line. */
function timedList(place, lines, video) {
  let marked = -1;
  const buttons = lines.map(({ start, text }) => {
    const item = document.createElement("li");
    const button = document.createElement(video ? "button" : "span");
    const time = document.createElement("time");
    const words = document.createElement("span");
    time.textContent = clock(start);
    words.textContent = text;
    words.dir = "auto";
    button.append(time, words);
    button.addEventListener("click", () => { if (video) video.currentTime = start + 0.001; });
    if (video) Object.assign(button, { type: "button", tabIndex: -1 });
    item.append(button);
    return button;
  });
  place.replaceChildren(...buttons.map((button) => button.parentElement));
  if (video && buttons.length) buttons[0].tabIndex = 0;
  place.onkeydown = (event) => {
    const seen = buttons.filter((button) => !button.parentElement.hidden);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const next = step && seen[seen.indexOf(event.target.closest("button")) + step];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    next?.focus();
  };
  place.onfocusin = (event) => {
    const now = event.target.closest("button");
    for (const button of buttons) button.tabIndex = button === now ? 0 : -1;
  };
  return {
    buttons,
    /** Mark the line of a time; return its button if it wasn't marked before. */
    mark(time) {
      const index = lines.findLastIndex((line) => line.start <= time + 0.01);
      if (index === marked) return null;
      buttons[marked]?.removeAttribute("aria-current");
      buttons[index]?.setAttribute("aria-current", "true");
      marked = index;
      return buttons[index];
    },
  };
}

export function transcript(root, video, film, word) {
  const place = root.querySelector(".player-transcript");
  if (!place) return;
  const [list, select, search, found] = ["ol", ".player-language", ".player-search", ".player-found"].map((one) => place.querySelector(one));
  const follow = place.querySelector(".player-follow");
  const spoken = film.transcripts ?? [];
  const tracks = spoken.length ? [] : [...video.querySelectorAll("track:is([kind=captions], [kind=subtitles])")];
  let shown = null;

  function fill(language, lines) {
    list.lang = language;
    shown = timedList(list, lines, video);
    place.toggleAttribute("data-filled", true);
    found.textContent = lines.length ? "" : word("Nobody speaks in this recording.");
    if (video) followed(shown.mark(video.currentTime));
    if (search.value) filter();
  }

  async function load(index) {
    if (tracks.length) {
      withCues(tracks[index], (cues) => fill(tracks[index].srclang, cues.map((cue) => ({ start: cue.startTime, text: cue.getCueAsHTML().textContent }))));
      return;
    }
    const { language, src, segments } = spoken[index];
    fill(language, segments ?? (await (await fetch(src)).json()).segments);
  }

  function followed(button) {
    if (!button || !follow?.checked || list.contains(document.activeElement)) return;
    const top = button.offsetTop - list.clientHeight / 3;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    list.scrollTo({ top, behavior: still ? "instant" : "smooth" });
  }

  function filter() {
    const wanted = fold(search.value.trim()).text;
    let count = 0;
    for (const button of shown?.buttons ?? []) {
      const words = button.lastElementChild;
      const hit = highlight(words, wanted);
      button.parentElement.hidden = Boolean(wanted) && !hit;
      count += hit;
    }
    const many = count === 1 ? word("passage found") : word("passages found");
    found.textContent = !wanted ? "" : count ? `${count} ${many}` : word("nothing found");
  }

  for (const [index, { language }] of (spoken.length ? spoken : tracks.map((track) => ({ language: track.srclang }))).entries()) {
    select.add(new Option(languageName(language, word.language), String(index)));
  }
  select.hidden = select.length < 2;
  select.addEventListener("change", () => load(Number(select.value)));
  search.addEventListener("input", filter);
  video?.addEventListener("timeupdate", () => followed(shown?.mark(video.currentTime)));
  load(0);
}

/** Mark where `wanted`, folded, stands in an element's text; tell whether it does. */
function highlight(element, wanted) {
  const text = element.textContent;
  const folded = fold(text);
  const pieces = [];
  let end = 0;
  for (let at = wanted ? folded.text.indexOf(wanted) : -1; at >= 0; at = folded.text.indexOf(wanted, at + wanted.length)) {
    const mark = document.createElement("mark");
    const [first, last] = [folded.places[at], folded.places[at + wanted.length]];
    mark.textContent = text.slice(first, last);
    pieces.push(text.slice(end, first), mark);
    end = last;
  }
  element.replaceChildren(...pieces, text.slice(end));
  return pieces.length > 0;
}

/** Return a text without cases and accents, and where each of its characters stood. */
function fold(text) {
  let folded = "";
  const places = [];
  let place = 0;
  for (const character of text) {
    for (const plain of character.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase()) {
      folded += plain;
      for (let unit = 0; unit < plain.length; unit++) places.push(place);
    }
    place += character.length;
  }
  places.push(text.length);
  return { text: folded, places };
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}
