/* What does a page do beyond its HTML? Theme, keys, quiet polling, fresh times, the count in the tab. Pages work without this file.
   It stands in <head> without `defer` so that a chosen theme is there before the first paint. */
(() => {
  "use strict";
  const root = document.documentElement;
  const find = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Theme: the same key as Django's admin, so one choice holds everywhere. A page may fix its own (wallboard: data-theme-fixed).
  const stored = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const showTheme = (theme) => { if (!("themeFixed" in root.dataset)) root.dataset.theme = theme || "auto"; };
  const dark = () => root.dataset.theme === "dark" || (root.dataset.theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  const switchTheme = () => {
    const theme = dark() ? "light" : "dark";
    showTheme(theme);
    try { localStorage.setItem("theme", theme); } catch { /* private window: the choice lasts for this page */ }
  };
  showTheme(stored());

  // Times: the same words as portal/templatetags/face.py.
  const duration = (seconds) => {
    const whole = Math.floor(Math.abs(seconds));
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} min`;
    if (whole < 86400) {
      const minutes = Math.floor(whole / 60) % 60;
      return `${Math.floor(whole / 3600)} h` + (minutes ? ` ${minutes} min` : "");
    }
    const days = Math.floor(whole / 86400), hours = Math.floor(whole / 3600) % 24;
    return `${days} d` + (hours && days < 14 ? ` ${hours} h` : "");
  };
  const relative = (at, mode) => {
    const seconds = (Date.now() - at) / 1000;
    if (mode === "for") return duration(Math.max(0, seconds));
    if (Math.abs(seconds) < 5) return "just now";
    return seconds > 0 ? `${duration(seconds)} ago` : `in ${duration(seconds)}`;
  };
  const refreshTimes = () => {
    if (document.hidden) return;
    for (const time of all("time[data-relative]")) {
      const at = Date.parse(time.dateTime);
      const text = Number.isNaN(at) ? "" : relative(at, time.dataset.relative);
      if (text && time.textContent !== text) time.textContent = text;
    }
  };

  // The tab: "(3) Overview" and a marked icon while something is wrong.
  const plainTitle = () => document.title.replace(/^\(\d+\) /, "");
  const showCount = () => {
    const source = find("[data-problems]");
    if (!source) return;
    const count = Number(source.dataset.problems) || 0;
    document.title = (count ? `(${count}) ` : "") + plainTitle();
    const icon = find("link[rel=icon]");
    const wanted = icon && (count ? icon.dataset.problem : icon.dataset.calm);
    if (wanted && icon.getAttribute("href") !== wanted) icon.setAttribute("href", wanted);
  };

  // Live parts: "updated 3 s ago", or since when the page is out of date.
  const setLive = (fresh) => {
    const note = find("[data-live-note]");
    if (!note) return;
    note.classList.toggle("is-stale", !fresh);
    find("[data-live-word]", note).textContent = fresh ? "updated" : "no connection, last updated";
    if (fresh) find("time", note).dateTime = new Date().toISOString();
    refreshTimes();
  };
  const polls = (element) => /\bevery\b/.test(element.getAttribute("hx-trigger") || "");
  // A refresh must not take away what somebody is reading or writing in that part.
  const busy = (element) => {
    if (find("dialog[open], details.menu[open]", element)) return true;
    const active = document.activeElement;
    if (active && element.contains(active) && active.matches("input, textarea, select, [role=slider]")) return true;
    const selection = getSelection();
    return !!selection && !selection.isCollapsed && element.contains(selection.anchorNode);
  };
  document.addEventListener("htmx:beforeRequest", (event) => {
    const element = event.detail.elt;
    if (polls(element) && (document.hidden || busy(element))) event.preventDefault();
  });
  document.addEventListener("htmx:configRequest", (event) => {
    const token = find("meta[name=csrf-token]");
    if (token && event.detail.verb !== "get") event.detail.headers["X-CSRFToken"] = token.content;
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (!polls(event.detail.elt)) return;
    setLive(event.detail.successful);
  });
  // What somebody has unfolded stays unfolded. A refresh that was asked for before they began to type is let go by: the next one comes.
  // What they typed into a part whose new version was under way stands in the new one, too.
  let unfolded = [], typed = [];
  const state = (control) => (control.type === "checkbox" || control.type === "radio" ? control.checked : control.value);
  const controls = (part) => (part ? all("input[id]:not([type=file]), textarea[id], select[id]", part) : []);
  document.addEventListener("htmx:beforeSend", (event) => {
    event.detail.xhr.asSent = new Map(controls(event.detail.target).map((control) => [control.id, state(control)]));
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { elt, target, xhr } = event.detail;
    if (polls(elt) && target && busy(target)) { event.detail.shouldSwap = false; return; }
    unfolded = all("details[open][id]").map((part) => part.id);
    typed = controls(target).map((control) => [control.id, state(control)])
      .filter(([id, now]) => xhr.asSent?.has(id) && xhr.asSent.get(id) !== now);
  });
  document.addEventListener("htmx:afterSwap", () => {
    for (const [id, now] of typed.splice(0)) {
      const control = document.getElementById(id);
      if (control) control[typeof now === "boolean" ? "checked" : "value"] = now;
    }
  });
  let selectedId = "";
  document.addEventListener("htmx:afterSettle", () => {
    const again = selectedId && document.getElementById(selectedId);
    if (again) again.classList.add("is-selected");
    unfolded.map((id) => document.getElementById(id)).forEach((part) => { if (part) part.open = true; });
    showCount();
    refreshTimes();
    watchBoxes();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    refreshTimes();
    if (window.htmx) all("[hx-trigger]").filter(polls).forEach((element) => window.htmx.trigger(element, "refresh"));
  });

  // What scrolls sideways and holds nothing to step to is stepped to itself, so that the keys can move it.
  const reach = window.ResizeObserver && new ResizeObserver((seen) => {
    for (const { target } of seen) {
      const scrolls = target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight;
      if (scrolls && !find("a[href], button, input, select, textarea, summary", target)) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  const watchBoxes = () => {
    if (reach) all(".table-wrap, .path-box, .code, .tabs, pre").forEach((box) => reach.observe(box));
  };

  // Keys.
  const rows = () => all("[data-row]").filter((row) => row.offsetParent !== null);
  const selected = () => find("[data-row].is-selected");
  const move = (by) => {
    const list = rows();
    if (!list.length) return;
    const here = list.indexOf(selected());
    const next = list[Math.min(list.length - 1, Math.max(0, here < 0 ? (by > 0 ? 0 : list.length - 1) : here + by))];
    list.forEach((row) => row.classList.toggle("is-selected", row === next));
    selectedId = next.id;
    next.scrollIntoView({ block: "nearest" });
    const link = find("a[href]", next);
    if (link) link.focus({ preventScroll: true });
  };
  const acknowledge = () => {
    const row = selected();
    const buttons = all("[data-ack]", row || document).filter((button) => !button.disabled);
    // Without a chosen row only an unambiguous page may be acknowledged.
    if (buttons.length && (row || buttons.length === 1)) buttons[0].click();
  };
  const search = () => { const input = find("[data-search]"); if (input) { input.focus(); input.select(); } };
  // From the box down its list and back: what has the focus is chosen, and Enter follows it.
  const choose = (event) => {
    const box = event.target.closest(".search"), by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!box || !by) return false;
    const places = [find("[data-search]", box), ...all("#found a", box)];
    const next = places[places.indexOf(document.activeElement) + by];
    if (next) next.focus();
    return true;
  };
  const keys = {
    "/": search,
    a: acknowledge,
    j: () => move(1),
    k: () => move(-1),
    "?": () => { const help = document.getElementById("keys"); if (help && !help.open) help.showModal(); },
  };
  // `g` and one of these.
  const places = { o: "/", m: "/monitors/", a: "/alerts/", i: "/incidents/", c: "/clients/", d: "/deliveries/", p: "/approvals/", w: "/wallboard/" };
  let leader = 0;
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key?.toLowerCase() === "k" && !event.altKey && !event.shiftKey) { event.preventDefault(); search(); return; }
    if (choose(event)) { event.preventDefault(); return; }
    if (event.key === "Escape" && event.target.closest(".search")) { document.activeElement.blur(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat && event.key === "a") return;
    if (event.target.closest("input, textarea, select, [contenteditable], dialog[open]")) return;
    if (event.key === "g") { leader = Date.now(); return; }
    if (Date.now() - leader < 1200 && places[event.key]) { event.preventDefault(); location.assign(places[event.key]); return; }
    leader = 0;
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });

  // Clicks. A dialog replaces the plain page its link leads to; without this file the link is followed.
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-dialog]");
    const dialog = opener && document.getElementById(opener.dataset.dialog);
    if (dialog && dialog.showModal) { event.preventDefault(); dialog.showModal(); }
    if (event.target.closest("[data-close]")) { event.preventDefault(); event.target.closest("dialog")?.close(); }
    if (event.target.closest("[data-theme-switch]")) switchTheme();
    const copy = event.target.closest("[data-copy]");
    if (copy && navigator.clipboard) {
      navigator.clipboard.writeText(document.getElementById(copy.dataset.copy).textContent.trim()).then(() => { copy.textContent = "Copied"; });
    }
    all("details.menu[open]").filter((menu) => !menu.contains(event.target)).forEach((menu) => { menu.open = false; });
  });
  document.addEventListener("keyup", (event) => {
    if (event.key === "Escape") all("details.menu[open]").forEach((menu) => { menu.open = false; });
  });

  document.addEventListener("DOMContentLoaded", () => {
    all("[data-theme-switch], [data-needs-js]").forEach((element) => { element.hidden = false; });
    showCount();
    refreshTimes();
    watchBoxes();
    setInterval(refreshTimes, 5000);
  });
})();
