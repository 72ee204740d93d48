/* What does a chart say where one points? Each bar and moment carries its words in <title>; here they are shown beside the chart, for the
   pointer, a finger and the arrow keys. Without this file the browser shows them when the pointer rests. */
(() => {
  "use strict";
  const PARTS = ".bar, .moment";
  const charts = () => [...document.querySelectorAll("svg.chart-band, svg.chart-bars")].filter((chart) => chart.querySelector(PARTS));
  const parts = (chart) => [...chart.querySelectorAll(PARTS)];
  const place = (chart) => chart.querySelector(".read") || chart.nextElementSibling?.querySelector(".read");
  const words = (part) => (part.dataset.words ||= part.querySelector("title").textContent);

  // Ready for the keys: a slider over the moments, which begins at the newest.
  const prepare = () => charts().forEach((chart) => {
    if (chart.getAttribute("role") === "slider") return;
    const all = parts(chart);
    const values = { role: "slider", tabindex: 0, "aria-valuemin": 1, "aria-valuemax": all.length, "aria-valuenow": all.length, "aria-valuetext": words(all.at(-1)) };
    for (const [name, value] of Object.entries(values)) chart.setAttribute(name, value);
    // The words stand beside the chart now; the browser's own box would lie over it.
    chart.querySelectorAll("title").forEach((title) => { if (title.parentElement.matches(PARTS)) { words(title.parentElement); title.remove(); } });
  });
  const read = (chart, part) => {
    const into = place(chart);
    parts(chart).forEach((one) => one.classList.toggle("is-read", one === part));
    if (!into) return;
    into.dataset.plain ||= into.textContent;
    into.textContent = part ? words(part) : into.dataset.plain;
    into.classList.toggle("is-read", !!part);
    if (!part) return;
    chart.setAttribute("aria-valuenow", parts(chart).indexOf(part) + 1);
    chart.setAttribute("aria-valuetext", words(part));
  };
  const chartOf = (event) => (event.target.closest ? event.target.closest("svg.chart[role=slider]") : null);

  document.addEventListener("pointerover", (event) => {
    const chart = chartOf(event), part = event.target.closest?.(PARTS);
    if (chart && part) read(chart, part);
  });
  document.addEventListener("pointerout", (event) => {
    const chart = chartOf(event);
    if (chart && !chart.contains(event.relatedTarget)) read(chart, null);
  });
  document.addEventListener("keydown", (event) => {
    const chart = chartOf(event);
    if (!chart || event.ctrlKey || event.metaKey || event.altKey) return;
    const all = parts(chart), now = Number(chart.getAttribute("aria-valuenow")) - 1;
    const to = { ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1, Home: 0, End: all.length - 1, PageDown: now - 10, PageUp: now + 10 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    read(chart, all[Math.min(all.length - 1, Math.max(0, to))]);
  });
  document.addEventListener("focusin", (event) => {
    const chart = chartOf(event);
    if (chart && chart.matches(":focus-visible")) read(chart, parts(chart)[Number(chart.getAttribute("aria-valuenow")) - 1]);
  });
  document.addEventListener("focusout", (event) => { const chart = chartOf(event); if (chart) read(chart, null); });
  document.addEventListener("DOMContentLoaded", prepare);
  document.addEventListener("htmx:afterSettle", prepare);
})();
