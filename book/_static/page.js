/* Small repairs of the theme's markup for keyboard and screen reader. */
(function () {
  "use strict";

  function nameButtons() {
    // WCAG 2.5.3: the accessible name has to contain the words that are seen.
    document.querySelectorAll("button[aria-label], a[aria-label]").forEach((button) => {
      if (button.innerText.trim() && !button.querySelector("i.fa-solid:only-child")) button.removeAttribute("aria-label");
    });
    document.querySelectorAll("button[title]:not([aria-label]), a.btn[title]:not([aria-label])").forEach((button) => {
      if (!button.innerText.trim()) button.setAttribute("aria-label", button.title);
    });
    document.querySelectorAll("i[class*='fa-'], .search-button__kbd-shortcut").forEach((icon) => {
      icon.setAttribute("aria-hidden", "true");
    });
  }

  const SCROLLERS = ".tl-equation-body, .cell_output .output, .pst-scrollable-table-container, div.highlight > pre";

  function more(box) {
    // A fade at the right edge says that there is more; see `.tl-more`.
    box.classList.toggle("tl-more", box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
  }

  function scrollers() {
    // What scrolls sideways has to be reachable with the keyboard.
    document.querySelectorAll(SCROLLERS).forEach((box) => {
      if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
      more(box);
    });
  }

  function showCurrent() {
    // The menu scrolls below its head; the page that is open shall be in it.
    const current = document.querySelector(".bd-links li.current > a");
    const box = current && current.closest(".sidebar-primary-item");
    if (!box) return;
    const offset = current.getBoundingClientRect().top - box.getBoundingClientRect().top;
    box.scrollTop += offset - box.clientHeight / 3;
  }

  function menu() {
    showCurrent();
    // On a phone the theme moves the menu into a dialog and back, and each move scrolls it to its top.
    const later = () => requestAnimationFrame(showCurrent);
    document.querySelector(".primary-toggle")?.addEventListener("click", later);
    document.querySelector("#pst-primary-sidebar-modal")?.addEventListener("close", later);
  }

  document.addEventListener("DOMContentLoaded", () => {
    nameButtons();
    scrollers();
    menu();
    document.querySelectorAll(SCROLLERS).forEach((box) => box.addEventListener("scroll", () => more(box), { passive: true }));
    document.addEventListener("toggle", scrollers, true);  // an opened fold shows code that had no width before
    window.addEventListener("resize", scrollers);
  });
})();
