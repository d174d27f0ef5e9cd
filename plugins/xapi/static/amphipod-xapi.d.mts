/** What is watched. */
export interface Activity {
  /** Its IRI, below an address that the endpoint allows. */
  id: string;
  name: string;
  /** Of the name and of the sound, as RFC 5646 has it; "und" by default. */
  language?: string;
}

export interface Options {
  /** `/xapi/statements` of Amphipod's server, or with `csrfToken` Esup-Pod's `/xapi/video/`. */
  endpoint: string;
  /** Asked anew at each session where it is a function: a page that plays one film after the other. */
  activity: Activity | (() => Activity);
  /**
   * Who watches, as the portal has signed it; by default an anonymous account. A function is asked for a new word
   * before the last one ends, and when the endpoint refuses it.
   */
  visitor?: string | (() => string | Promise<string>);
  /** Share to be watched for `completed`, from 0 to 1; 1 by default. */
  threshold?: number;
  /** UUID of an enrolment; what was watched in earlier visits under it counts. By default a new one for each page. */
  registration?: string;
  /** Of Django, in a page of Esup-Pod: statements go one by one, as its own address wants them. */
  csrfToken?: string;
  /** Frames a second, where the portal knows; no browser does. */
  frameRate?: number;
  /** False: the browser keeps nothing beyond the page, and what could not be sent is lost with it. */
  keep?: boolean;
}

export interface Tracker {
  /** End the session with `paused` and `terminated`, and follow the video no longer. */
  stop(): void;
}

/** A player of video.js, or of anything else whose element has a video in it. */
export interface Player {
  el(): Element;
}

/** Follow a `<video>`, or the one inside a player, until the page goes or `stop` is called. */
export function track(player: HTMLVideoElement | Player, options: Options): Tracker;
