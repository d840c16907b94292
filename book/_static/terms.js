/* A link to a word of the glossary shows its definition beside it: under the mouse, at keyboard focus, at a first tap.
   The definition is in the link, see book/_ext/terms.py. Without this script the link leads to the glossary. */
(function () {
  "use strict";

  const note = document.createElement("div");
  let shown = null, wait = 0, touched = false;

  function show(link) {
    clearTimeout(wait);
    if (shown === link) return;
    hide();
    note.textContent = link.dataset.tlTerm;
    link.setAttribute("aria-describedby", note.id);
    shown = link;
    note.showPopover();
    place();
  }

  // Again whenever the page scrolls: it does so by itself to a link that gets the focus.
  function place(scrolled) {
    if (!shown) return;
    const at = shown.getBoundingClientRect(), box = note.getBoundingClientRect();
    if (scrolled && (at.bottom < 0 || at.top > window.innerHeight)) return hide();
    const below = at.bottom + box.height + 8 < window.innerHeight;
    note.style.left = Math.max(8, Math.min(at.left, document.documentElement.clientWidth - box.width - 8)) + "px";
    note.style.top = (below ? at.bottom + 4 : Math.max(8, at.top - box.height - 4)) + "px";
  }

  function hide() {
    clearTimeout(wait);
    if (!shown) return;
    shown.removeAttribute("aria-describedby");
    shown = null;
    note.hidePopover();
  }

  // The pointer may move on to the definition without losing it.
  function leave() {
    clearTimeout(wait);
    wait = setTimeout(hide, 250);
  }

  function follow(link) {
    link.addEventListener("pointerenter", (event) => {
      if (event.pointerType !== "mouse") return;
      clearTimeout(wait);
      wait = setTimeout(show, 150, link);
    });
    link.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") leave(); });
    link.addEventListener("pointerdown", (event) => { touched = event.pointerType === "touch"; });
    link.addEventListener("focus", () => { if (link.matches(":focus-visible")) show(link); });
    link.addEventListener("blur", hide);
    link.addEventListener("click", (event) => {
      if (!touched || shown === link) return;
      event.preventDefault();
      show(link);
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    const links = document.querySelectorAll("a[data-tl-term]");
    if (!links.length || !note.showPopover) return;
    Object.assign(note, { id: "tl-term", className: "tl-term", popover: "manual" });
    note.setAttribute("role", "tooltip");
    note.addEventListener("pointerenter", () => clearTimeout(wait));
    note.addEventListener("pointerleave", leave);
    document.querySelector("main").append(note);
    links.forEach(follow);
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
    document.addEventListener("pointerdown", (event) => { if (shown && !shown.contains(event.target) && event.target !== note) hide(); });
    ["scroll", "resize"].forEach((kind) => window.addEventListener(kind, place, { passive: true }));
  });
})();
