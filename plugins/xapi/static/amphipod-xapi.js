/*
 * Tells a learning record store how a video is watched, by the xAPI Video Profile 1.0.3. No dependencies.
 *
 *   <script src="amphipod-xapi.js"></script>
 *   <script>
 *     AmphipodXapi.track(document.querySelector("video"), {   // or a video.js player
 *       endpoint: "https://amphipod.univ.fr/xapi/statements",
 *       visitor: "...",                                       // who watches, signed; or a function that fetches it
 *       activity: { id: "https://pod.univ.fr/video/0042-algebra/", name: "Algebra", language: "en" },
 *       threshold: 0.9,                                       // share to be watched; 1 by default
 *     });
 *   </script>
 *
 * As a module: import { track } from "./amphipod-xapi.mjs". All options: amphipod-xapi.d.mts.
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
  /** Milliseconds between two times that what a crash would leave unsaid is written down: at play, and in a pause. */
  const REMEMBER_EVERY = 1000;
  const SIGN_OF_LIFE = 30000;
  /** Milliseconds that statements wait for others, first pause after a failure; longest pause. */
  const SEND_EVERY = 1000;
  const LONGEST_PAUSE = 60000;
  /** Statements in one request, and characters; those that may outlive the page, of all requests: browsers let 64 KB. */
  const AT_ONCE = 25;
  const LARGEST = 30000;
  const OUTLIVES = 60000;
  /** What the browser keeps for later: statements of one page, days, and milliseconds without a sign of life. */
  const MOST_KEPT = 500;
  const DAYS_KEPT = 7;
  const SILENCE = 150000;
  /** Milliseconds before its end that a visitor's word is renewed, and between two tries at that. */
  const RENEW_BEFORE = 120000;
  const RENEW_EVERY = 30000;
  /** Milliseconds after the last turn of the volume. */
  const SETTLED = 500;
  /** Seconds that may be missing between two segments and count as watched, and their largest share of the video. */
  const SEAM = 0.25;
  const SEAM_SHARE = 0.02;
  /** Answers that will be the same next time. */
  const REFUSALS = [400, 403, 413, 422];

  const rounded = (seconds) => Math.round(seconds * 1000) / 1000;
  const shelfOf = (name) => "amphipod-xapi:" + name;

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
    constructor(closed = []) {
      this.closed = closed;
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
      return this.all().map(([start, end]) => start.toFixed(3) + "[.]" + end.toFixed(3)).join("[,]");
    }

    /** Seconds spent watching, repetitions included. */
    spent() {
      return this.all().reduce((sum, [start, end]) => sum + end - start, 0);
    }

    /** Share of the video that was watched at least once, rounded down. */
    progress(length) {
      const seam = Math.min(SEAM, length * SEAM_SHARE);
      let seconds = 0;
      let reached = 0;
      for (const [start, end] of [...this.all()].sort((one, other) => one[0] - other[0])) {
        const from = start - reached <= seam ? Math.min(reached, start) : start;
        seconds += Math.max(0, end - Math.max(from, reached));
        reached = Math.max(reached, end);
      }
      return Math.min(1, Math.floor((seconds / length + 1e-9) * 1000) / 1000);
    }
  }

  /** The browser's storage, which may be off, full, or cleared at any time. */
  const storage = {
    read(key) {
      try {
        return JSON.parse(global.localStorage.getItem(key));
      } catch (error) {
        return null;
      }
    },
    write(key, value) {
      try {
        global.localStorage.setItem(key, JSON.stringify(value));
      } catch (error) {
        // What waits is in memory as well.
      }
    },
    remove(key) {
      try {
        global.localStorage.removeItem(key);
      } catch (error) {
        // Nothing is there.
      }
    },
    names(prefix) {
      try {
        return Object.keys(global.localStorage).filter((key) => key.startsWith(prefix));
      } catch (error) {
        return [];
      }
    },
  };

  /** Who watches, as the portal has signed it; the word is renewed before it ends. */
  class Visitor {
    constructor(word) {
      this.renew = typeof word === "function" ? word : null;
      this.word = this.renew ? "" : word || "";
      this.isRefused = false;
      this.triedAt = -Infinity;
    }

    /** Milliseconds that the word is still good for. */
    left() {
      const said = this.said();
      return said ? said.until * 1000 - Date.now() : Infinity;
    }

    /** Make sure of a word that is good; false while there is none. */
    async ready() {
      if (!this.renew) return this.left() > 0;
      const due = this.isRefused || !this.word || this.left() < RENEW_BEFORE;
      if (due && performance.now() - this.triedAt > (this.word && !this.isRefused ? RENEW_EVERY : 0)) {
        this.triedAt = performance.now();
        try {
          this.word = (await this.renew()) || this.word;
          this.isRefused = false;
        } catch (error) {
          console.warn("AmphipodXapi: the visitor's word can't be renewed:", error);
        }
      }
      return Boolean(this.word) && this.left() > 0;
    }

    /** A number for the person, so that nobody sends what another has watched in this browser. */
    person() {
      const said = this.said();
      let hash = 2166136261;
      for (const letter of said ? JSON.stringify(said.actor) : "") {
        hash = Math.imul(hash ^ letter.codePointAt(0), 16777619) >>> 0;
      }
      return hash;
    }

    said() {
      try {
        const text = this.word.slice(0, this.word.lastIndexOf(".")).replace(/-/g, "+").replace(/_/g, "/");
        return JSON.parse(atob(text));
      } catch (error) {
        return null;
      }
    }
  }

  /** Sends in order, again when the endpoint was busy; the browser keeps what waits until the endpoint has it. */
  class Outbox {
    constructor({ endpoint, visitor, csrfToken, keep = true }) {
      const address = new URL(endpoint, global.location.href);
      this.visitor = new Visitor(visitor || address.searchParams.get("visitor"));
      address.searchParams.delete("visitor"); // no log of any server is to have it
      this.endpoint = address.href;
      this.csrfToken = csrfToken;
      this.keeps = keep;
      this.key = shelfOf(uuid());
      this.waiting = [];
      this.lastWords = [];
      this.atOnce = csrfToken ? 1 : AT_ONCE;
      this.pause = SEND_EVERY;
      this.timer = null;
      this.sending = false;
      this.onTheWay = new Set();
      this.left = false;
    }

    /** Be this page's outbox, until `release`. */
    hold() {
      this.left = false;
      if (!navigator.locks) return;
      const held = () => new Promise((done) => (this.left ? done() : (this.release = done)));
      navigator.locks.request(this.key, held).catch(() => {}); // a document that may have none goes by the signs of life
    }

    /** The page goes: send what a browser lets outlive it; the rest is kept. A lock would bar it from being cached. */
    leave() {
      this.left = true;
      if (this.release) this.release();
      let room = OUTLIVES - JSON.stringify([...this.onTheWay]).length;
      for (let batch; (batch = this.batch(room)).length; ) {
        room -= JSON.stringify(batch).length;
        this.try(batch);
      }
    }

    put(...statements) {
      this.waiting.push(...statements);
      const tooMany = this.waiting.length - MOST_KEPT;
      if (tooMany > 0) {
        this.waiting.splice(0, tooMany);
        console.warn(`AmphipodXapi: ${tooMany} statements dropped: the endpoint takes none`);
      }
      this.write();
      this.plan();
    }

    /** Write down what waits, and what is to be said of this session if the page is never heard of again. */
    write(lastWords = this.lastWords) {
      this.lastWords = lastWords;
      if (!this.keeps || (this.visitor.renew && !this.visitor.word)) return; // whose is it?
      if (!this.waiting.length && !lastWords.length) return storage.remove(this.key);
      const { endpoint, waiting } = this;
      storage.write(this.key, { endpoint, person: this.visitor.person(), at: Date.now(), waiting, lastWords });
    }

    /** Take over what pages of this person have left in the browser, those that live excepted. */
    async adopt() {
      if (!this.keeps) return;
      for (const key of storage.names(shelfOf(""))) {
        if (key === this.key) continue;
        const one = storage.read(key);
        if (!one || Date.now() - one.at > DAYS_KEPT * 86400000) storage.remove(key);
        else if (one.endpoint === this.endpoint && one.person === this.visitor.person()) await this.inherit(key, one);
      }
    }

    async inherit(key, one) {
      const take = () => {
        const left = storage.read(key);
        if (!left) return;
        this.waiting.unshift(...left.waiting, ...left.lastWords);
        this.write();
        storage.remove(key);
        this.plan();
      };
      if (navigator.locks) await navigator.locks.request(key, { ifAvailable: true }, (lock) => lock && take()).catch(() => {});
      else if (Date.now() - one.at > SILENCE) take();
    }

    plan() {
      if (this.waiting.length && this.timer === null && !this.sending) {
        this.timer = setTimeout(() => this.send(), this.pause);
      }
    }

    /** Statements of the next request that have `room` characters, or without a limit at least one. */
    batch(room = Infinity) {
      let size = 0;
      const most = Math.min(room, LARGEST);
      const fits = (one) => (size += JSON.stringify(one).length + 1) <= most;
      const some = this.waiting.filter((one) => !this.onTheWay.has(one)).slice(0, this.atOnce);
      const end = some.findIndex((one) => !fits(one));
      return end < 0 ? some : some.slice(0, Math.max(room < Infinity ? 0 : 1, end));
    }

    async send() {
      clearTimeout(this.timer);
      this.timer = null;
      if (this.sending || !this.waiting.length) return;
      this.sending = true;
      try {
        if (await this.visitor.ready()) await this.try(this.batch());
        else this.pause = Math.min(this.pause * 2, LONGEST_PAUSE);
      } finally {
        this.sending = false;
        this.plan();
      }
    }

    async try(batch) {
      let answer = null;
      batch.forEach((one) => this.onTheWay.add(one));
      try {
        answer = await this.post(batch);
      } catch (error) {
        // No network: later.
      }
      batch.forEach((one) => this.onTheWay.delete(one));
      if (answer && answer.ok) {
        this.settle(batch);
        this.atOnce = this.csrfToken ? 1 : AT_ONCE;
        this.pause = SEND_EVERY;
      } else if (answer && REFUSALS.includes(answer.status)) {
        await this.refused(batch, answer);
      } else {
        const asked = answer ? Number(answer.headers.get("Retry-After")) * 1000 || 0 : 0;
        this.pause = Math.min(Math.max(this.pause * 2, asked), LONGEST_PAUSE);
      }
    }

    post(batch) {
      const { csrfToken, visitor } = this;
      // As text/plain the browser asks no leave of another origin first.
      const headers = csrfToken
        ? { "Content-Type": "application/json", "X-CSRFToken": csrfToken }
        : { "Content-Type": "text/plain" };
      const body = csrfToken ? batch[0] : visitor.word ? { visitor: visitor.word, statements: batch } : batch;
      const text = JSON.stringify(body);
      return fetch(this.endpoint, { method: "POST", body: text, headers, keepalive: text.length < OUTLIVES });
    }

    /** The endpoint will never take this batch: find out which of its statements it is, and give that one up. */
    async refused(batch, answer) {
      if (answer.status === 403 && this.visitor.renew && !this.renewed) {
        this.renewed = this.visitor.isRefused = true;
        return;
      }
      if (answer.status === 403 && this.visitor.left() < RENEW_BEFORE) {
        this.pause = LONGEST_PAUSE; // a word that is too old: a page opened later has another
        return;
      }
      this.pause = 0;
      if (batch.length > 1) {
        this.atOnce = Math.ceil(batch.length / 2);
        return;
      }
      const reason = await answer.text().catch(() => "");
      console.warn(`AmphipodXapi: a statement is refused (${answer.status}) and dropped:`, reason.slice(0, 500), batch[0]);
      this.settle(batch);
    }

    settle(batch) {
      this.renewed = false;
      this.waiting = this.waiting.filter((one) => !batch.includes(one));
      this.write();
    }
  }

  class Tracker {
    constructor(video, options) {
      this.video = video;
      this.options = options;
      this.threshold = options.threshold === undefined ? 1 : rounded(options.threshold);
      this.registration = options.registration || uuid();
      this.outbox = new Outbox(options);
      this.session = null; // id of its `initialized`
      this.listeners = [];
      this.reset();
      this.outbox.hold();
      this.outbox.visitor.ready().then(() => this.outbox.adopt());
      this.listen();
    }

    reset() {
      this.last = 0;
      this.length = null;
      this.playing = false;
      this.seekFrom = null;
      this.wraps = false;
      this.completed = false;
      this.shown = "";
      this.rememberedAt = 0;
      this.segments = new Segments(this.seenBefore());
    }

    /** Segments of earlier visits under this registration: progress and duration are those of the registration. */
    seenBefore() {
      return (this.options.registration && storage.read(this.seenKey())) || [];
    }

    seenKey() {
      return `amphipod-xapi-seen:${this.registration}:${this.activity().id}`;
    }

    activity() {
      const { activity } = this.options;
      return typeof activity === "function" ? activity() : activity;
    }

    listen() {
      const on = (event, handler, target = this.video) => {
        const bound = handler.bind(this);
        target.addEventListener(event, bound);
        this.listeners.push(() => target.removeEventListener(event, bound));
      };
      on("loadedmetadata", this.begin);
      on("durationchange", this.begin);
      on("emptied", this.end);
      on("play", this.started);
      on("playing", this.started);
      on("pause", this.stopped);
      on("ended", this.stopped);
      on("seeking", this.onSeeking);
      on("seeked", this.onSeeked);
      on("timeupdate", this.sample);
      on("ratechange", this.onInteraction);
      on("volumechange", this.onVolume);
      on("webkitbeginfullscreen", this.onInteraction);
      on("webkitendfullscreen", this.onInteraction);
      on("fullscreenchange", this.onInteraction, document);
      if (this.video.textTracks) on("change", this.onInteraction, this.video.textTracks);
      on("visibilitychange", this.onHidden, document);
      on("pagehide", this.onLeave, global);
      on("pageshow", this.onReturn, global);
      const timers = [setInterval(() => this.sample(), SAMPLE_EVERY), setInterval(() => this.outbox.adopt(), SILENCE)];
      this.listeners.push(() => timers.forEach(clearInterval));
      this.begin();
    }

    /** End the session, and follow the video no longer. */
    stop() {
      this.end();
      this.listeners.splice(0).forEach((remove) => remove());
      this.outbox.leave();
    }

    // What happens

    /** A session begins when the length is known; that of a live stream is infinite. */
    begin() {
      const { video } = this;
      if (this.session || this.outbox.left || video.readyState < 1 || !(video.duration > 0)) return;
      this.reset();
      this.session = uuid();
      this.last = rounded(video.currentTime);
      this.measure();
      this.shown = JSON.stringify(this.surroundings());
      this.completed = this.hasCompleted(); // and said so in an earlier visit
      this.say("initialized", { context: { ...this.surroundings(), ...this.about() }, id: this.session });
      this.remember();
      this.started();
    }

    started() {
      const { video } = this;
      if (!this.session || this.playing || this.seekFrom !== null || video.paused || video.ended || video.seeking) return;
      this.playing = true;
      this.last = rounded(video.currentTime);
      this.segments.open(this.last);
      this.say("played", { result: { time: this.last } });
    }

    stopped() {
      if (!this.playing) return;
      if (this.video.ended && this.length) {
        this.last = this.length;
        this.segments.reach(this.last);
      } else {
        this.sample();
      }
      this.pauseHere();
    }

    pauseHere() {
      this.checkCompletion();
      this.segments.close();
      this.playing = false;
      this.say("paused", { result: this.watching(), context: this.about() });
      this.remember();
      if (this.options.registration) storage.write(this.seenKey(), this.segments.all());
    }

    onSeeking() {
      if (!this.session) return;
      // currentTime is the target already; a drag over the bar is one seek.
      if (this.seekFrom === null) {
        this.seekFrom = this.last;
        this.wraps = this.isLoop();
      }
      if (this.wraps) this.segments.reach((this.seekFrom = this.length));
      if (this.wraps) this.checkCompletion();
      this.segments.close();
    }

    /** A video that loops seeks to its begin, and nobody has touched it. */
    isLoop() {
      const { video } = this;
      const step = Math.max(0.5, 1.5 * video.playbackRate);
      return video.loop && this.playing && video.currentTime < 0.1 && this.last > this.length - step;
    }

    onSeeked() {
      if (!this.session || this.seekFrom === null) return;
      const from = this.seekFrom;
      const wrapped = this.wraps;
      this.seekFrom = null;
      this.wraps = false;
      // A loop begins at the beginning, however late we hear of it.
      this.last = wrapped ? 0 : rounded(this.video.currentTime);
      if (this.playing && !this.video.ended) this.segments.open(this.last);
      if (!wrapped && from !== this.last) this.say("seeked", { result: { "time-from": from, "time-to": this.last } });
      if (this.playing && this.video.ended) this.stopped();
      else if (this.playing && !wrapped) this.say("played", { result: { time: this.last } });
      else this.started();
    }

    onVolume() {
      clearTimeout(this.volumeTimer);
      this.volumeTimer = setTimeout(() => this.onInteraction(), SETTLED);
    }

    /** Something else was touched; it is told where it has changed anything. */
    onInteraction() {
      if (!this.session) return;
      const around = this.surroundings();
      if (JSON.stringify(around) === this.shown) return;
      this.shown = JSON.stringify(around);
      this.say("interacted", { result: { time: this.last }, context: { ...around, ...this.about() } });
    }

    /** A page that is hidden may be killed without another word. */
    onHidden() {
      if (document.visibilityState !== "hidden" || !this.session) return;
      this.sample();
      this.remember();
      this.outbox.send();
    }

    onLeave() {
      this.end();
      this.outbox.leave();
    }

    /** The page comes back from the back/forward cache. */
    onReturn(event) {
      if (!event.persisted) return;
      this.outbox.hold();
      this.begin();
    }

    end() {
      if (!this.session) return;
      if (this.volumeTimer) clearTimeout(this.volumeTimer);
      this.sample();
      if (this.playing) this.pauseHere();
      this.say("terminated", { result: this.watching(), context: this.about() });
      this.session = null;
      this.outbox.write([]);
    }

    measure() {
      const { duration } = this.video;
      if (duration > 0 && duration < Infinity) this.length = rounded(duration);
    }

    sample() {
      const { video } = this;
      if (!this.session || video.readyState < 1 || video.seeking || this.seekFrom !== null) return;
      this.measure();
      this.last = rounded(video.currentTime);
      if (this.playing) {
        this.segments.reach(this.last);
        this.checkCompletion();
      }
      const every = this.playing ? REMEMBER_EVERY : SIGN_OF_LIFE;
      if (performance.now() - this.rememberedAt > every) this.remember();
    }

    /** Write down how the session ended, should the page end without another word. */
    remember() {
      this.rememberedAt = performance.now();
      const rest = { result: this.watching(), context: this.about() };
      const verbs = this.playing ? ["paused", "terminated"] : ["terminated"];
      this.outbox.write(verbs.map((verb) => this.statement(verb, rest)));
    }

    hasCompleted() {
      return this.length !== null && this.segments.progress(this.length) >= this.threshold;
    }

    checkCompletion() {
      if (this.completed || !this.hasCompleted()) return;
      this.completed = true;
      const duration = "PT" + rounded(this.segments.spent()) + "S";
      this.say("completed", { result: this.watching(), context: this.about(), more: { completion: true, duration } });
    }

    // What is said

    watching() {
      const progress = this.length ? { progress: this.segments.progress(this.length) } : {};
      return { time: this.last, ...progress, "played-segments": this.segments.text() };
    }

    about() {
      return { ...(this.length ? { length: this.length } : {}), "completion-threshold": this.threshold };
    }

    surroundings() {
      const { video } = this;
      const shown = Array.from(video.textTracks || []).find((track) => track.mode === "showing");
      const sound = Array.from(video.audioTracks || []).find((track) => track.enabled);
      const full = document.fullscreenElement !== null && document.fullscreenElement.contains(video);
      return {
        "user-agent": navigator.userAgent,
        "screen-size": screen.width + "x" + screen.height,
        "video-playback-size": video.clientWidth + "x" + video.clientHeight,
        "full-screen": full || video.webkitDisplayingFullscreen === true,
        ...(video.videoHeight ? { quality: video.videoHeight } : {}),
        ...(this.options.frameRate ? { "frame-rate": this.options.frameRate } : {}),
        ...(sound && (sound.label || sound.language) ? { track: sound.label || sound.language } : {}),
        speed: video.playbackRate + "x",
        volume: video.muted ? 0 : rounded(video.volume),
        // The Profile's list of terms has one name, and its templates the other.
        "cc-enabled": shown !== undefined,
        "cc-subtitle-enabled": shown !== undefined,
        "cc-subtitle-lang": shown ? shown.language : "",
      };
    }

    say(verb, parts) {
      this.outbox.put(this.statement(verb, parts));
    }

    statement(verb, { result, context = {}, more = {}, id = uuid() }) {
      const { id: object, name, language } = this.activity();
      const named = (extensions) =>
        Object.fromEntries(Object.entries(extensions).map(([key, value]) => [EXTENSION + key, value]));
      return {
        id,
        verb: { id: VERBS[verb], display: { "en-US": verb } },
        object: {
          objectType: "Activity",
          id: object,
          definition: { type: VIDEO + "/activity-type/video", name: { [language || "und"]: name } },
        },
        ...(result ? { result: { ...more, extensions: named(result) } } : {}),
        context: {
          registration: this.registration,
          ...(language ? { language } : {}),
          contextActivities: { category: [{ id: VIDEO }] },
          extensions: named({ "session-id": this.session, ...context }),
        },
        timestamp: new Date().toISOString(),
      };
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
