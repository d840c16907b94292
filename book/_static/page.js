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

  function scrollers() {
    // What scrolls sideways has to be reachable with the keyboard.
    document.querySelectorAll(".tl-equation-body, .cell_output .output, .pst-scrollable-table-container").forEach((box) => {
      if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    nameButtons();
    scrollers();
    window.addEventListener("resize", scrollers);
  });
})();
