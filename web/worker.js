// The analyzer itself, off the page's own thread. Everything it loads lies beside it.
import { loadPyodide } from "./pyodide/pyodide.mjs";

let python;

async function start() {
  python = await loadPyodide({ indexURL: new URL("./pyodide/", import.meta.url).href });
  const wheels = await (await fetch(new URL("./wheels.json", import.meta.url))).json();
  for (const wheel of wheels) {
    const packed = await (await fetch(new URL(`./${wheel}`, import.meta.url))).arrayBuffer();
    python.unpackArchive(packed, "wheel");
  }
  const glue = await (await fetch(new URL("./answer.py", import.meta.url))).text();
  python.FS.writeFile("/home/pyodide/answer.py", glue);
  return python.pyimport("answer");
}

const ready = start();
ready.then(
  () => postMessage({ kind: "ready" }),
  (error) => postMessage({ kind: "broken", message: String(error) }),
);

onmessage = async ({ data }) => {
  try {
    const module = await ready;
    const said = module.answer(data.name, python.toPy(new Uint8Array(data.bytes)), JSON.stringify(data.words));
    postMessage({ kind: "answer", number: data.number, ...JSON.parse(said) });
  } catch (error) {
    // Python's own message is the last line of what Pyodide reports.
    const last = String(error).trim().split("\n").pop();
    postMessage({ kind: "answer", number: data.number, error: `${data.name}: internal error: ${last}` });
  }
};
