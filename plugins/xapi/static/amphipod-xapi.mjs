// The tracker as a module; one file for both, so that they can't differ.
import "./amphipod-xapi.js";

export const { track } = globalThis.AmphipodXapi;
