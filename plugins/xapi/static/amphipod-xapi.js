/*
 * Tells a learning record store how a video is watched, as the xAPI Video Profile wants it. No dependencies.
 *
 *   <script src="amphipod-xapi.js"></script>
 *   <script>
 *     AmphipodXapi.track(document.querySelector("video"), {   // or a video.js player
 *       endpoint: "https://pod.univ.fr/xapi/statements?visitor=...",
 *       activity: { id: "https://pod.univ.fr/video/0042-algebra/", name: "Algebra", language: "en" },
 *       threshold: 0.9,                                       // share to be watched; 1 by default
 *     });
 *   </script>
 *
 * It never says who watches; the endpoint does.
 */
(function (global) {
  "use strict";

  const VIDEO = "https://w3id.org/xapi/video";
  const EXTENSION = VIDEO + "/extensions/";
  const VERBS = {
    initialized: "http://adlnet.gov/expapi/verbs/initialized",
    played: VIDEO + "/verbs/played",
    paused: VIDEO + "/verbs/paused",
    seeked: VIDEO + "/verbs/seeked",
    interacted: "http://adlnet.gov/expapi/verbs/interacted",
    completed: "http://adlnet.gov/expapi/verbs/completed",
    terminated: "http://adlnet.gov/expapi/verbs/terminated",
  };

  /** Milliseconds between two looks at where the video is; `timeupdate` comes four times a second only. */
  const SAMPLE_EVERY = 50;
  /** Milliseconds that statements wait for others, first pause after a failure, longest pause. */
  const SEND_EVERY = 1000;
  const LONGEST_PAUSE = 60000;
  /** Statements in one request: the endpoint takes a hundred, a beacon 64 KB. */
  const AT_ONCE = 25;
  /** Milliseconds after the last turn of the volume. */
  const SETTLED = 500;
  /** Seconds that may be missing at the seams of segments. */
  const TOLERANCE = 0.25;

  const rounded = (seconds) => Math.round(seconds * 1000) / 1000;

  function uuid() {
    if (global.crypto.randomUUID) return global.crypto.randomUUID();
    const bytes = global.crypto.getRandomValues(new Uint8Array(16)); // a page without https has no randomUUID
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  }

  /** What was really watched: segments in the order of watching. */
  class Segments {
    constructor() {
      this.closed = [];
      this.start = null;
      this.end = null;
    }

    open(time) {
      this.close();
      this.start = this.end = time;
    }

    /** The video has got here by playing. */
    reach(time) {
      if (this.start !== null && time > this.end) this.end = time;
    }

    close() {
      if (this.start !== null && this.end > this.start) this.closed.push([this.start, this.end]);
      this.start = this.end = null;
    }

    all() {
      return this.start !== null && this.end > this.start ? [...this.closed, [this.start, this.end]] : this.closed;
    }

    text() {
      return this.all().map(([start, end]) => rounded(start) + "[.]" + rounded(end)).join("[,]");
    }

    /** Seconds spent watching, repetitions included. */
    spent() {
      return this.all().reduce((sum, [start, end]) => sum + end - start, 0);
    }

    /** Seconds of the video that were watched at least once. */
    watched() {
      let seconds = 0;
      let reached = 0;
      for (const [start, end] of [...this.all()].sort((one, other) => one[0] - other[0])) {
        seconds += Math.max(0, end - Math.max(start, reached));
        reached = Math.max(reached, end);
      }
      return seconds;
    }
  }

  /** Sends in order, again when the endpoint was busy, and all that is left when the page goes. */
  class Outbox {
    constructor(endpoint) {
      this.endpoint = endpoint;
      this.waiting = [];
      this.pause = SEND_EVERY;
      this.timer = null;
      this.sending = false;
    }

    put(statement) {
      this.waiting.push(statement);
      if (this.timer === null && !this.sending) this.timer = setTimeout(() => this.send(), this.pause);
    }

    async send() {
      this.timer = null;
      const batch = this.waiting.slice(0, AT_ONCE);
      this.sending = true;
      let done = false;
      try {
        // As text/plain the browser asks no leave of another origin first.
        const headers = { "Content-Type": "text/plain" };
        const body = JSON.stringify(batch);
        const answer = await fetch(this.endpoint, { method: "POST", body, headers, keepalive: true });
        done = answer.status < 500 && answer.status !== 429; // any other refusal would be the same next time
      } catch (error) {
        done = false; // no network: later
      }
      this.sending = false;
      if (done) this.waiting.splice(0, batch.length);
      this.pause = done ? SEND_EVERY : Math.min(this.pause * 2, LONGEST_PAUSE);
      if (this.waiting.length && this.timer === null) this.timer = setTimeout(() => this.send(), this.pause);
    }

    /** What is on its way may never arrive: it goes once more, under the same ids. */
    flush() {
      while (this.waiting.length) {
        const batch = this.waiting.splice(0, AT_ONCE);
        navigator.sendBeacon(this.endpoint, new Blob([JSON.stringify(batch)], { type: "text/plain" }));
      }
    }
  }

  class Tracker {
    constructor(video, options) {
      this.video = video;
      this.options = options;
      this.threshold = options.threshold === undefined ? 1 : options.threshold;
      this.session = uuid();
      this.registration = options.registration || uuid();
      this.outbox = new Outbox(options.endpoint);
      this.segments = new Segments();
      this.last = 0;
      this.seekFrom = null;
      this.completed = false;
      this.initialized = false;
      this.terminated = false;
      this.listen();
    }

    listen() {
      const on = (event, handler, target = this.video) => target.addEventListener(event, handler.bind(this));
      on("loadedmetadata", this.onMetadata);
      on("play", this.onPlay);
      on("pause", this.onPause);
      on("ended", this.onEnded);
      on("seeking", this.onSeeking);
      on("seeked", this.onSeeked);
      on("timeupdate", this.sample);
      on("ratechange", this.onInteraction);
      on("volumechange", this.onVolume);
      on("fullscreenchange", this.onInteraction, document);
      if (this.video.textTracks) on("change", this.onInteraction, this.video.textTracks);
      on("pagehide", this.onLeave, global);
      setInterval(() => this.sample(), SAMPLE_EVERY);
      if (this.video.readyState >= 1) this.onMetadata();
      if (!this.video.paused) this.onPlay();
    }

    // What happens

    onMetadata() {
      if (this.initialized) return;
      this.initialized = true;
      this.say("initialized", null, { ...this.surroundings(), ...this.about() });
    }

    onPlay() {
      if (this.video.ended) return;
      if (!this.video.seeking) this.segments.open(this.video.currentTime);
      this.last = this.video.currentTime;
      this.say("played", { time: rounded(this.video.currentTime) });
    }

    onPause() {
      if (this.video.seeking || this.video.ended) return;
      this.sample();
      this.segments.close();
      this.say("paused", this.watching(), this.about());
    }

    onEnded() {
      this.segments.reach(this.video.duration);
      this.segments.close();
      this.checkCompletion();
    }

    onSeeking() {
      // currentTime is the target already; a drag over the bar is one seek.
      if (this.seekFrom === null) this.seekFrom = this.last;
      this.segments.close();
    }

    onSeeked() {
      const from = this.seekFrom === null ? this.last : this.seekFrom;
      this.seekFrom = null;
      this.last = this.video.currentTime;
      if (!this.video.paused) this.segments.open(this.last);
      this.say("seeked", { "time-from": rounded(from), "time-to": rounded(this.last) });
    }

    onVolume() {
      clearTimeout(this.volumeTimer);
      this.volumeTimer = setTimeout(() => this.onInteraction(), SETTLED);
    }

    onInteraction() {
      const here = { time: rounded(this.video.currentTime) };
      if (this.initialized) this.say("interacted", here, { ...this.surroundings(), ...this.about() });
    }

    onLeave() {
      if (this.terminated || !this.initialized) return;
      this.sample();
      this.segments.close();
      this.terminated = true;
      this.say("terminated", this.watching(), this.about());
      this.outbox.flush();
    }

    sample() {
      if (this.video.seeking || this.seekFrom !== null || this.terminated) return;
      this.last = this.video.currentTime;
      this.segments.reach(this.last);
      this.checkCompletion();
    }

    checkCompletion() {
      const length = this.video.duration;
      if (this.completed || !(length > 0) || this.segments.watched() + TOLERANCE < this.threshold * length) return;
      if (this.threshold >= 1 && !this.video.ended) return; // the last quarter of a second, too
      this.completed = true;
      const duration = "PT" + rounded(this.segments.spent()) + "S";
      this.say("completed", this.watching(), this.about(), { completion: true, duration });
    }

    // What is said

    watching() {
      const progress = Math.min(1, this.segments.watched() / this.video.duration);
      return {
        time: rounded(this.video.currentTime),
        progress: rounded(progress),
        "played-segments": this.segments.text(),
      };
    }

    about() {
      return { length: rounded(this.video.duration), "completion-threshold": this.threshold };
    }

    surroundings() {
      const video = this.video;
      const shown = Array.from(video.textTracks || []).find((track) => track.mode === "showing");
      return {
        "user-agent": navigator.userAgent,
        "screen-size": screen.width + "x" + screen.height,
        "video-playback-size": video.clientWidth + "x" + video.clientHeight,
        "full-screen": document.fullscreenElement !== null && document.fullscreenElement.contains(video),
        quality: video.videoWidth + "x" + video.videoHeight,
        speed: video.playbackRate + "x",
        volume: video.muted ? 0 : rounded(video.volume),
        "cc-enabled": shown !== undefined,
        "cc-subtitle-lang": shown ? shown.language : "",
      };
    }

    say(verb, result, context = {}, more = {}) {
      if (!this.initialized || (this.terminated && verb !== "terminated")) return;
      const { id, name, language } = this.options.activity;
      const named = (extensions) =>
        Object.fromEntries(Object.entries(extensions).map(([key, value]) => [EXTENSION + key, value]));
      const statement = {
        id: uuid(),
        verb: { id: VERBS[verb], display: { "en-US": verb } },
        object: {
          objectType: "Activity",
          id,
          definition: { type: VIDEO + "/activity-type/video", name: { [language || "und"]: name } },
        },
        context: {
          registration: this.registration,
          contextActivities: { category: [{ id: VIDEO }] },
          extensions: named({ "session-id": this.session, ...context }),
        },
        timestamp: new Date().toISOString(),
      };
      if (result) statement.result = { ...more, extensions: named(result) };
      this.outbox.put(statement);
    }
  }

  global.AmphipodXapi = {
    /** Track a <video>, or the one inside a video.js player. */
    track(player, options) {
      const video = player instanceof HTMLVideoElement ? player : player.el().querySelector("video");
      return new Tracker(video, options);
    },
  };
})(window);
