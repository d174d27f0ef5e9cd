// The player of core/web/player/part.html: qualities, captions, chapters, keys, and the transcript beside the film.
// It works on the browser's own controls as well as on those of media-chrome, if that was loaded before it.

import { keys } from "./keys.js";
import { qualities, speeds } from "./qualities.js";
import { captions, nameTracks, previews } from "./tracks.js";
import { chapters, transcript } from "./transcript.js";
import { translator } from "./words.js";

for (const root of document.querySelectorAll(".player")) start(root);

function start(root) {
  const { film, words, language, hls } = JSON.parse(root.querySelector(".player-data").textContent);
  const word = translator(root, words, language);
  const video = root.querySelector("video, audio");
  if (video) {
    if (customElements.get("media-controller")) video.controls = false;
    nameTracks(video, word);
    if (film.previews) previews(root, video, film.previews);
    qualities(root, video, film, hls, word);
    speeds(root, video);
    captions(root, video);
    keys(root, video);
    chapters(root, video);
  }
  transcript(root, video, film, word);
}
