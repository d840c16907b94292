/* Filters the cards of the claims ledger by verdict. Without this script all cards show and the buttons stay hidden. */
(function () {
  "use strict";

  function cardsAfter(filter) {
    // The cards of a section follow its filter.
    return Array.from(filter.closest("section").querySelectorAll(".tl-card"));
  }

  function show(filter, wanted) {
    const cards = cardsAfter(filter);
    let count = 0;
    cards.forEach((card) => {
      card.hidden = Boolean(wanted) && !card.classList.contains("tl-is-" + wanted);
      if (!card.hidden) count += 1;
    });
    filter.querySelectorAll("button").forEach((button) => {
      button.setAttribute("aria-pressed", String(button.dataset.show === wanted));
    });
    filter.querySelector("[role=status]").textContent = count + " of " + cards.length;
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll(".tl-filter").forEach((filter) => {
      filter.hidden = false;
      filter.addEventListener("click", (event) => {
        const button = event.target.closest("button");
        if (button) show(filter, button.dataset.show);
      });
      show(filter, "");
    });
    // A link to a card shows it, whatever is filtered.
    window.addEventListener("hashchange", () => {
      const card = document.getElementById(location.hash.slice(1));
      if (card && card.hidden) {
        const filter = card.closest("section:has(> .tl-filter)")?.querySelector(".tl-filter");
        if (filter) show(filter, "");
        card.scrollIntoView();
      }
    });
  });
})();
