// The plain script: `AmphipodXapi.track(...)`.
export * from "./amphipod-xapi.mjs";
export as namespace AmphipodXapi;
