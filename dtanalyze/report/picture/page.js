// Adds to a page that is whole without it: zoom, the allocation step by step, a search.
(function () {
  "use strict";
  document.querySelectorAll(".dtanalyze .tools[hidden]").forEach(function (tools) {
    var root = tools.closest(".dtanalyze"), out = tools.querySelector(".step"), scale = 1, timer = 0;
    tools.hidden = false;

    function zoom(factor) {
      scale = Math.min(8, Math.max(1, scale * factor));
      root.querySelectorAll(".grid").forEach(function (grid) {
        grid.style.width = scale === 1 ? "" : 100 * scale + "%";
        if (scale > 1) { grid.parentNode.tabIndex = 0; } else { grid.parentNode.removeAttribute("tabindex"); }
      });
      out.textContent = scale === 1 ? "" : "zoom " + scale + " times; lines scroll";
    }
    tools.querySelector(".in").addEventListener("click", function () { zoom(2); });
    tools.querySelector(".out").addEventListener("click", function () { zoom(0.5); });

    function steps() {
      var open = Array.from(root.querySelectorAll("[data-n]")).filter(function (cell) { return cell.offsetParent !== null; });
      return open.sort(function (a, b) { return a.dataset.n - b.dataset.n; });
    }
    function stop() {
      clearTimeout(timer);
      timer = 0;
      steps().forEach(function (cell) { cell.classList.remove("dim"); });
      tools.querySelector(".play").textContent = "Step by step";
    }
    tools.querySelector(".play").addEventListener("click", function () {
      if (timer) { stop(); out.textContent = ""; return; }
      var cells = steps(), place = 0, pause = Math.max(60, Math.min(600, 12000 / (cells.length || 1)));
      this.textContent = "Stop";
      cells.forEach(function (cell) { cell.classList.add("dim"); });
      function next() {
        if (place >= cells.length) { stop(); return; }
        cells[place].classList.remove("dim");
        out.textContent = cells[place].title;
        cells[place].scrollIntoView({ block: "nearest" });
        place += 1;
        timer = setTimeout(next, pause);
      }
      next();
    });

    var find = tools.querySelector(".find");
    find.addEventListener("input", function () {
      var wanted = find.value.trim().toLowerCase(), count = 0;
      root.querySelectorAll(".rows li.r, .card, .scan li, table.wide tbody tr").forEach(function (item) {
        var hit = !wanted || item.textContent.toLowerCase().indexOf(wanted) >= 0;
        item.classList.toggle("dim", !hit);
        if (hit && wanted) { if (!count) { item.scrollIntoView({ block: "nearest" }); } count += 1; }
      });
      out.textContent = wanted ? count + " found" : "";
    });
  });
})();
