// What the keys do.

import { SPEEDS } from "./qualities.js";

export function keys(root, video) {
  const faster = (step) => {
    const near = SPEEDS.findIndex((speed) => speed >= video.playbackRate);
    video.playbackRate = SPEEDS[Math.min(Math.max(near + step, 0), SPEEDS.length - 1)];
  };
  const seek = (seconds) => { video.currentTime = Math.min(Math.max(video.currentTime + seconds, 0), video.duration || 0); };
  const louder = (step) => { video.volume = Math.min(Math.max(video.volume + step, 0), 1); };
  const screen = () => {
    const button = root.querySelector("media-fullscreen-button:defined");
    if (button) button.click();
    else if (document.fullscreenElement) document.exitFullscreen();
    else video.requestFullscreen?.();
  };
  // Those that a focused button, list or slider has a use for itself.
  const taken = {
    " ": () => (video.paused ? video.play().catch(() => {}) : video.pause()),
    ArrowLeft: () => seek(-5),
    ArrowRight: () => seek(5),
    ArrowUp: () => louder(0.1),
    ArrowDown: () => louder(-0.1),
  };
  const free = {
    "<": () => faster(-1),
    ">": () => faster(1),
    c: () => root.dispatchEvent(new Event("player-captions")),
    f: screen,
    m: () => { video.muted = !video.muted; },
  };
  document.addEventListener("keydown", (event) => {
    const target = event.target;
    const inside = root.contains(target);
    const everywhere = "everywhere" in root.dataset && target === document.body;
    if (!(inside || everywhere) || event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return;
    if (target.closest("input:not([type=checkbox]), select, textarea")) return;
    const busy = target.closest("button, a, summary, input, [controls], media-time-range, media-volume-range, [role=button]");
    const digit = /^[0-9]$/.test(event.key) && (() => { video.currentTime = (video.duration || 0) * event.key / 10; });
    const action = digit || free[event.key.toLowerCase()] || (!busy && taken[event.key]);
    if (!action) return;
    event.preventDefault();
    action();
  });
}
