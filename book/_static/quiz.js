/* Makes the quizzes of jupyterquiz usable by keyboard and by ear. jupyterquiz builds them after the page has loaded,
   so a MutationObserver waits for each.
   - arrow keys move between the answers without answering; Space or Enter answers
   - an answer's feedback is a live region and says "Right" or "Not yet" in words, not by color alone
   - answers form a named group, number fields have a name */
(function () {
  "use strict";

  function describe(question, id) {
    if (!question.id) question.id = id;
    return question.id;
  }

  function radios(group) {
    return Array.from(group.querySelectorAll("input[type=radio]"));
  }

  function onKey(event) {
    const list = radios(event.currentTarget);
    const at = list.indexOf(event.target);
    if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (step) {
      // The browser would select, and jupyterquiz takes a selection for an answer.
      event.preventDefault();
      list[(at + step + list.length) % list.length].focus();
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      list[at].click();
    }
  }

  function verdict(feedback) {
    // Idempotent, since adding the words is itself a mutation.
    if (!feedback.textContent.trim() || feedback.querySelector(".tl-verdict")) return;
    const right = feedback.classList.contains("correct");
    const word = document.createElement("strong");
    word.className = "tl-verdict";
    word.textContent = right ? "Right. " : "Not yet. ";
    feedback.prepend(word);
  }

  function prepare(quiz) {
    if (quiz.dataset.tlReady) return;
    const feedback = quiz.querySelector(".Feedback");
    const answers = quiz.querySelector(".Answer");
    if (!feedback || !answers || !answers.firstElementChild) return;
    quiz.dataset.tlReady = "yes";

    const question = describe(quiz.firstElementChild, "q" + feedback.id);
    feedback.setAttribute("role", "status");
    feedback.setAttribute("aria-live", "polite");
    feedback.setAttribute("aria-atomic", "true");
    new MutationObserver(() => verdict(feedback)).observe(feedback, { childList: true });

    const field = answers.querySelector("input.Input-text");
    if (field) {
      const label = answers.querySelector(".InpLabel");
      if (label) label.htmlFor = field.id;
      field.setAttribute("aria-describedby", question);
      if (quiz.querySelector(".NumericQn")) field.inputMode = "decimal";
      return;
    }
    const many = quiz.querySelector(".ManyChoiceQn");
    answers.setAttribute("role", many ? "group" : "radiogroup");
    answers.setAttribute("aria-labelledby", question);
    answers.addEventListener("keydown", onKey);
    if (many) {
      // Several answers are right: each stands alone, so that Tab reaches all of them.
      radios(answers).forEach((input, i) => { input.name += "-" + i; });
      const hint = document.createElement("p");
      hint.className = "tl-quiz-hint";
      hint.textContent = "More than one answer is right.";
      answers.before(hint);
    }
  }

  function scan() {
    document.querySelectorAll(".Quiz[id^=quizWrap]").forEach(prepare);
  }

  document.addEventListener("DOMContentLoaded", () => {
    scan();
    const main = document.querySelector("#main-content");
    if (main) new MutationObserver(scan).observe(main, { childList: true, subtree: true });
  });
})();
