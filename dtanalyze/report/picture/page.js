(() => {
  "use strict";
  // A notebook may run this apart from its place: the newest picture that has not been brought to life is meant.
  const waiting = [...document.querySelectorAll(".dtanalyze:not([data-live])")];
  const root = document.currentScript?.closest(".dtanalyze") ?? waiting.pop();
  if (!root) return;
  root.dataset.live = "";
  const all = (selector) => [...root.querySelectorAll(selector)];
  const find = (selector) => root.querySelector(selector);
  const say = (text) => { find(".step").textContent = text; };
  let zoom = 1;
  let timer = 0;

  const shown = () => find("section.result:not([hidden])");

  const setZoom = (value) => {
    zoom = Math.min(6, Math.max(0.5, value));
    // On the shown rows only: on the whole page it would cost the style of every element.
    shown().querySelector("tbody").style.setProperty("--zoom", zoom);
    say(`zoom ${Math.round(zoom * 100)} %`);
  };

  const clear = (name) => all(`tr.${name}`).forEach((row) => row.classList.remove(name));

  // Addresses have 64 bits: numbers would lose the lowest.
  const parse = (hex) => BigInt("0x" + hex);

  const select = (button) => {
    all(".finding[aria-pressed]").forEach((item) => item.removeAttribute("aria-pressed"));
    clear("hit");
    button.setAttribute("aria-pressed", "true");
    const spans = button.dataset.ranges.split(" ").filter(Boolean).map((item) => item.split("-").map(parse));
    const rows = [...shown().querySelectorAll("tbody tr")].filter((row) => {
      const [start, stop] = [parse(row.dataset.start), parse(row.dataset.stop)];
      return !row.classList.contains("gap") && spans.some(([low, high]) => low < stop && start < high);
    });
    rows.forEach((row) => row.classList.add("hit"));
    if (rows.length) {
      rows[0].scrollIntoView({ block: "center" });
      rows[0].focus({ preventScroll: true });
    }
    say(rows.length ? `${rows.length} ranges marked` : "this finding has no range in the picture");
  };

  const stop = () => {
    clearInterval(timer);
    timer = 0;
    clear("now");
    find(".play").textContent = "Play the allocation";
  };

  const play = () => {
    if (timer) {
      stop();
      return;
    }
    const steps = [...shown().querySelectorAll("tr[data-first]")].sort((one, other) => one.dataset.first - other.dataset.first);
    if (!steps.length) {
      say("the kernel takes no section");
      return;
    }
    let at = 0;
    const next = () => {
      if (at >= steps.length) {
        stop();
        say("that was all");
        return;
      }
      const row = steps[at++];
      row.classList.add("now");
      row.scrollIntoView({ block: "nearest" });
      say(row.dataset.first === row.dataset.last ? `section ${row.dataset.first}` : `sections ${row.dataset.first} to ${row.dataset.last}`);
    };
    find(".play").textContent = "Stop";
    timer = setInterval(next, 900);
    next();
  };

  const choose = (number) => {
    stop();
    all("section.result").forEach((item) => { item.hidden = item.dataset.number !== number; });
  };

  find(".in").addEventListener("click", () => setZoom(zoom * 1.25));
  find(".out").addEventListener("click", () => setZoom(zoom / 1.25));
  find(".play").addEventListener("click", play);
  all(".finding").forEach((button) => button.addEventListener("click", () => select(button)));
  const which = find(".which");
  if (which) which.addEventListener("change", () => choose(which.value));

  root.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    setZoom(event.deltaY < 0 ? zoom * 1.1 : zoom / 1.1);
  }, { passive: false });

  root.addEventListener("keydown", (event) => {
    if (event.key === "+" || event.key === "-") {
      setZoom(event.key === "+" ? zoom * 1.25 : zoom / 1.25);
    } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && event.target.matches("tbody tr")) {
      const rows = [...shown().querySelectorAll("tbody tr[tabindex]")];
      const next = rows[rows.indexOf(event.target) + (event.key === "ArrowDown" ? 1 : -1)];
      if (next) {
        event.preventDefault();
        next.focus();
      }
    } else if (event.key === "Escape") {
      stop();
      clear("hit");
    }
  });
})();
