// The page: takes a file, asks the worker, shows report and map. The file never leaves the browser.
const byId = (id) => document.getElementById(id);
const form = byId("words");
const state = byId("state");
let file = null;
let asked = 0;
let ready = false;

function say(text, kind = "") {
  state.textContent = text;
  state.className = kind;
}

function words() {
  return Object.fromEntries([...new FormData(form)].filter(([, value]) => value.trim()));
}

function fromLink() {
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    const field = form.elements.namedItem(name);
    if (field) field.value = value;
  }
}

// The link holds the options, never the tree.
function toLink() {
  history.replaceState(null, "", `#${new URLSearchParams(words())}`);
}

if (typeof WebAssembly !== "object" || typeof Worker !== "function") {
  say("This browser has no WebAssembly or no workers, which the analyzer needs. Install it instead: pip install dtanalyze", "bad");
} else {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });

  const ask = async () => {
    if (!file) return;
    const bytes = await file.arrayBuffer();
    asked += 1;
    say(ready ? `Analysing ${file.name} …` : `Loading the analyzer, then analysing ${file.name} …`);
    worker.postMessage({ number: asked, name: file.name, bytes, words: words() }, [bytes]);
  };

  const show = (answer) => {
    byId("command").textContent = answer.command ?? "";
    byId("text").textContent = answer.text ?? "";
    byId("answer").hidden = !answer.text;
    byId("map").srcdoc = answer.map ?? "";
    if (answer.error) say(answer.error, "bad");
    else say(`${file.name}: ${answer.verdict}`, answer.verdict === "scratch" ? "good" : "bad");
    document.documentElement.dataset.answered = String(answer.number);
  };

  worker.onerror = (event) => say(`The analyzer could not be loaded: ${event.message ?? "a file is missing"}`, "bad");
  worker.onmessage = ({ data }) => {
    if (data.kind === "ready") {
      ready = true;
      if (!file) say("Ready. Nothing you drop here leaves this browser.");
    } else if (data.kind === "broken") {
      say(`The analyzer could not be loaded: ${data.message}`, "bad");
    } else if (data.number === asked) {
      show(data);
    }
  };

  const take = (found) => {
    if (!found) return;
    file = found;
    byId("name").textContent = found.name;
    ask();
  };

  const zone = byId("drop");
  byId("file").addEventListener("change", (event) => take(event.target.files[0]));
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    take(event.dataTransfer.files[0]);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", () => {
    toLink();
    ask();
  });
  fromLink();
  addEventListener("hashchange", () => {
    fromLink();
    ask();
  });
}
