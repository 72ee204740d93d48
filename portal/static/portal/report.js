/* What does a report do beyond its HTML? The Print button, and everything unfolded on paper. The page works without this file. */
(() => {
  "use strict";
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll(".report details:not([open])")];
    opened.forEach((part) => { part.open = true; });
  });
  addEventListener("afterprint", () => { opened.forEach((part) => { part.open = false; }); opened = []; });
  document.addEventListener("click", (event) => { if (event.target.closest("[data-print]")) window.print(); });
  // A part that was refreshed brings its buttons hidden, as they are without scripts.
  document.addEventListener("htmx:afterSettle", () => {
    document.querySelectorAll("#report [data-needs-js]").forEach((part) => { part.hidden = false; });
  });
})();
