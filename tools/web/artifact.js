// The files of the page: fetched, and checked to be whole before anything in them runs.

const FORMAT_VERSION = 1; // of an export's manifest, the newest that is understood here
const AGAIN = "Write the page again with `ar-zoo web`.";

/**
 * The manifest of an export.
 *
 * @param {string} folder its address, ending in a slash.
 */
export async function fetchManifest(folder) {
  const manifest = await fetchJson(`${folder}manifest.json`);
  if (manifest.format_version > FORMAT_VERSION) {
    throw new Error(`${folder} has format version ${manifest.format_version}; this page reads ${FORMAT_VERSION}. ${AGAIN}`);
  }
  if (manifest.batch_size !== 1) {
    throw new Error(`${folder} was exported with batch_size ${manifest.batch_size}; the page draws one at a time. ${AGAIN}`);
  }
  return manifest;
}

/** A JSON file of the page. */
export async function fetchJson(address) {
  const response = await fetchFile(address);
  try {
    return await response.json();
  } catch {
    throw new Error(`${address} is damaged: it is not JSON. ${AGAIN}`);
  }
}

/** The bytes of an endpoint's TFLite file, once their SHA-256 is the one in the manifest. */
export async function fetchGraph(folder, manifest, endpoint) {
  const file = manifest.endpoints[endpoint]?.tflite;
  const facts = manifest.files[file];
  if (!facts) throw new Error(`${folder} has no TFLite file for \`${endpoint}\`. ${AGAIN}`);
  const bytes = new Uint8Array(await (await fetchFile(folder + file)).arrayBuffer());
  if (bytes.length !== facts.size) {
    throw new Error(`${folder}${file} has ${bytes.length} bytes, its manifest says ${facts.size}. ${AGAIN}`);
  }
  if ((await sha256(bytes)) !== facts.sha256) {
    throw new Error(`${folder}${file} does not match the sha256 in its manifest: it was changed or damaged. ${AGAIN}`);
  }
  return bytes;
}

async function fetchFile(address) {
  let response;
  try {
    response = await fetch(address);
  } catch {
    throw new Error(`${address} cannot be fetched. Is the server still running? Start it with \`ar-zoo web\`.`);
  }
  if (response.ok) return response;
  throw new Error(`${address} is missing (HTTP ${response.status}). ${AGAIN}`);
}

async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) {
    throw new Error("Browsers can check files on https:// and on http://127.0.0.1 only. Open the page at one of these.");
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
