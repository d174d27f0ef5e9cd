// Which file or stream is played, and how fast.

const HLS = "application/vnd.apple.mpegurl";
export const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2];

export function qualities(root, video, film, hls, word) {
  const select = root.querySelector(".player-quality");
  const fault = root.querySelector(".player-fault");
  const native = Boolean(video.canPlayType(HLS));
  const streams = location.protocol !== "file:" && (native || hls) ? film.streams ?? [] : [];
  const files = film.files ?? [];
  const choices = [...streams, ...files];
  let engine = null; // hls.js, while it plays
  let current = choices[0];
  let byScript = !native;

  for (const [name, group] of [["HLS", streams], [word("Files"), files]]) {
    if (!group.length) continue;
    const options = document.createElement("optgroup");
    options.label = name;
    for (const choice of group) {
      const one = new Option(word(choice.label), String(choices.indexOf(choice)));
      one.disabled = files.includes(choice) && !video.canPlayType(choice.type);
      options.append(one);
    }
    select.append(options);
  }
  if (streams.length) root.querySelector(".player-hint")?.remove();

  async function attach(choice, time) {
    engine?.destroy();
    engine = null;
    const address = choice.type === HLS && choice.height ? await onlyHeight(choice.src, choice.height) : choice.src;
    if (choice.type !== HLS || !byScript) {
      video.src = address;
      return;
    }
    const { default: Hls } = await import(new URL(hls, document.baseURI));
    engine = new Hls({ enableWorker: false, startPosition: time });
    engine.on(Hls.Events.ERROR, (_, error) => error.fatal && failed());
    engine.loadSource(address);
    engine.attachMedia(video);
  }

  async function choose(choice) {
    const { currentTime: time, paused, playbackRate } = video;
    const shown = [...video.textTracks].map((track) => track.mode);
    current = choice;
    select.value = String(choices.indexOf(choice));
    fault.hidden = true;
    video.addEventListener("loadedmetadata", () => {
      if (time) video.currentTime = time;
      video.playbackRate = playbackRate;
      [...video.textTracks].forEach((track, index) => { track.mode = shown[index] ?? track.mode; });
      if (!paused) video.play().catch(() => {}); // a browser may want a click first
    }, { once: true });
    await attach(choice, time).catch(failed);
  }

  /** What the browser can't play of itself hls.js may; what neither can, the next file may. */
  function failed() {
    const rest = files.filter((file) => file !== current && video.canPlayType(file.type));
    if (current?.type === HLS && !byScript && hls) {
      byScript = true;
      choose(current);
    } else if (current?.type === HLS && rest.length) {
      choose(rest[0]);
    } else {
      fault.hidden = false;
    }
  }

  select.addEventListener("change", () => choose(choices[Number(select.value)]));
  video.addEventListener("error", () => video.error && failed());
  video.querySelector("source:last-of-type")?.addEventListener("error", failed); // none of them plays
  video.addEventListener("resize", () => {
    const auto = select.querySelector("option");
    if (streams.length) auto.textContent = current === streams[0] ? `${word("Auto")} ${Math.min(video.videoWidth, video.videoHeight)}p` : word("Auto");
  });
  if (video.networkState === HTMLMediaElement.NETWORK_NO_SOURCE) failed(); // before this script came
  // The browser has begun with the first `source` that it can play.
  if (streams.length && (byScript || video.querySelector("source")?.type !== HLS)) choose(streams[0]);
}

/** Return the address of a master playlist that offers one height of those in `master`. */
async function onlyHeight(master, height) {
  const base = new URL(master, document.baseURI);
  const answer = await fetch(base);
  if (!answer.ok) throw new Error(`${base}: ${answer.status}`);
  const lines = (await answer.text()).split("\n");
  const kept = lines.filter((line, index) => {
    const about = line.startsWith("#EXT-X-STREAM-INF:") ? line : lines[index - 1] ?? "";
    return !about.startsWith("#EXT-X-STREAM-INF:") || new RegExp(`RESOLUTION=\\d+x${height}\\b`).test(about);
  });
  const absolute = kept.map((line) => line.startsWith("#")
    ? line.replace(/URI="([^"]+)"/, (_, uri) => `URI="${new URL(uri, base)}"`)
    : line && String(new URL(line, base)));
  return URL.createObjectURL(new Blob([absolute.join("\n")], { type: HLS }));
}

export function speeds(root, video) {
  const select = root.querySelector(".player-speed");
  for (const speed of SPEEDS) select.add(new Option(`${speed}×`, String(speed)));
  select.value = "1";
  select.addEventListener("change", () => { video.playbackRate = Number(select.value); });
  video.addEventListener("ratechange", () => { select.value = String(video.playbackRate); });
}
