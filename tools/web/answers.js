// What the worker does for the page: opens one model, draws from it in pieces, scores.

import { startLiteRt } from "./litert.js";
import { Runtime } from "./runtime.js";

const FRAME = 16; // milliseconds between pieces that the page shows
const SLOW_SITES = 4; // sites of a piece, where the page wants to watch

let runtime;
let turn = 0; // a new task ends the drawing that is still going

/** Does one task of the page, and posts `{id, …}` messages: pieces and then `done`, or `error`. */
export async function receive({ id, task, ...request }) {
  turn += 1;
  try {
    const result = await { open, draw, score, stop }[task]({ id, mine: turn, ...request });
    self.postMessage({ id, done: result ?? {} });
  } catch (error) {
    self.postMessage({ id, error: error.message });
  }
}

async function open({ folder }) {
  const litert = await startLiteRt(new URL("litert/", import.meta.url).href);
  runtime = await Runtime.open(litert, folder);
  return { manifest: runtime.manifest };
}

async function draw({ id, mine, slow, ...request }) {
  const { x, start, sites } = runtime.draw(request);
  const size = x.length / (request.sites ?? runtime.manifest.num_sites);
  let [sent, began, busy] = [start, performance.now(), 0];
  const post = (stop) => {
    self.postMessage({ id, piece: { start: sent, symbols: x.slice(sent * size, stop * size) } });
    sent = stop;
  };
  for (const site of sites) {
    if (site < start) continue;
    const spent = performance.now() - began;
    if (slow ? site + 1 - sent < SLOW_SITES : spent < FRAME) continue;
    post(site + 1);
    busy += spent;
    await (slow ? new Promise((resume) => setTimeout(resume, FRAME)) : nextTask());
    if (turn !== mine) return { stopped: true };
    began = performance.now();
  }
  busy += performance.now() - began;
  post(x.length / size);
  // Milliseconds that the model worked, without the pauses in which the page is shown.
  return { x, milliseconds: busy };
}

async function score({ x, context }) {
  return { logProbs: await runtime.score(x, context) };
}

function stop() {}

/** Lets messages in. `setTimeout` would wait for 4 milliseconds. */
function nextTask() {
  return new Promise((resume) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      channel.port1.close();
      resume();
    };
    channel.port2.postMessage(null);
  });
}
