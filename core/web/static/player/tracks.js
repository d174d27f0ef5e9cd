// Captions, and the pictures of the seek bar.

import { languageName } from "./words.js";

const texts = (video) => [...video.textTracks].filter((track) => ["captions", "subtitles"].includes(track.kind));

export function nameTracks(video, word) {
  for (const track of video.querySelectorAll("track[srclang]")) {
    const name = languageName(track.srclang, word.language);
    track.label = track.kind === "subtitles" ? `${name} (${word("from the film")})` : name;
  }
}

export function captions(root, video) {
  const button = root.querySelector(".player-captions");
  const select = root.querySelector(".player-tracks");
  const tracks = texts(video);
  if (!tracks.length) return;
  tracks.forEach((track, index) => select?.add(new Option(track.label, String(index))));
  root.querySelector("media-captions-button")?.setAttribute("role", "switch"); // it says whether it is checked
  const chosen = () => tracks[Number(select?.value ?? 0)];
  const show = (wanted) => tracks.forEach((track) => { track.mode = track === wanted ? "showing" : "disabled"; });
  root.addEventListener("player-captions", () => show(tracks.some((track) => track.mode === "showing") ? null : chosen()));
  button?.addEventListener("click", () => root.dispatchEvent(new Event("player-captions")));
  select?.addEventListener("change", () => show(chosen()));
  video.textTracks.addEventListener("change", () => {
    const shown = tracks.findIndex((track) => track.mode === "showing");
    button?.setAttribute("aria-pressed", String(shown >= 0));
    if (select && shown >= 0) select.value = String(shown);
  });
}

/** Load the pictures of the seek bar, which media-chrome takes from the track of this label. */
export function previews(root, video, src) {
  const track = video.querySelector("track[label=thumbnails]");
  track.src = withAbsoluteAddresses(src);
  track.track.mode = "hidden"; // read, not shown
  if (location.protocol === "file:") {
    // A picture from the disk answers no request that asks for leave to read it.
    const thumbnail = root.querySelector("media-time-range")?.shadowRoot?.querySelector("media-preview-thumbnail");
    thumbnail?.shadowRoot.querySelector("img").removeAttribute("crossorigin");
  }
}

/** An index that stands in the page itself names pictures relative to the page. */
function withAbsoluteAddresses(src) {
  if (!src.startsWith("data:")) return src;
  const head = src.slice(0, src.indexOf(",") + 1);
  const lines = decodeURIComponent(src.slice(head.length)).split("\n");
  const text = lines.map((line) => line.includes("#xywh=") ? new URL(line, document.baseURI).href : line).join("\n");
  return head + encodeURIComponent(text);
}
