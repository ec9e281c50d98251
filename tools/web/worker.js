// A classic worker, because LiteRT's script wants `importScripts`, which module workers do not have.
const answers = import("./answers.js");
self.onmessage = async ({ data }) => (await answers).receive(data);
