// A classic worker, because LiteRT's script wants `importScripts`, which module workers do not have.
const answers = import("./answers.js");
self.onmessage = async ({ data }) => {
  try {
    await (await answers).receive(data);
  } catch (error) {
    self.postMessage({ id: data.id, error: `${error.message}. Write the page again with \`ar-zoo web\`.` });
  }
};
