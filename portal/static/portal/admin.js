/* What does the admin lack for whoever hears its pages? The search boxes that its forms make of a choice carry no name. */
(() => {
  "use strict";
  const name = () => {
    for (const select of document.querySelectorAll("select.admin-autocomplete[id]")) {
      const label = document.querySelector(`label[for="${CSS.escape(select.id)}"]`);
      const box = select.nextElementSibling;
      if (!label || !box || !box.classList.contains("select2")) continue;
      const words = label.textContent.trim().replace(/:$/, "");
      for (const part of box.querySelectorAll("[role=combobox], [role=textbox], [role=searchbox], input")) {
        const chosen = part.getAttribute("role") === "combobox" && box.querySelector(".select2-selection__rendered");
        if (!part.hasAttribute("aria-label")) part.setAttribute("aria-label", words);
        if (chosen && chosen.id) {
          label.id ||= `${select.id}_label`;
          part.setAttribute("aria-labelledby", `${label.id} ${chosen.id}`);
        }
      }
    }
  };
  // They are made at a moment of the admin's own choosing, and again for each row that is added.
  name();
  new MutationObserver(name).observe(document.body, { childList: true, subtree: true });
})();
