(function () {
  "use strict";
  var tools = document.querySelector(".tools"), field = document.getElementById("search");
  var buttons = tools.querySelectorAll("button"), cards = document.querySelectorAll("li.card"), said = document.getElementById("found");
  var state = "";
  function apply() {
    var words = field.value.toLowerCase().split(/\s+/).filter(Boolean), shown = 0;
    cards.forEach(function (card) {
      var fits = words.every(function (word) { return card.dataset.words.indexOf(word) >= 0; });
      card.hidden = !(fits && (state === "" || card.dataset.state === state));
      shown += card.hidden ? 0 : 1;
    });
    buttons.forEach(function (b) { b.setAttribute("aria-pressed", String(b.dataset.state === state)); });
    said.textContent = shown === cards.length ? "" : shown + " of " + cards.length + " figures";
  }
  buttons.forEach(function (b) { b.addEventListener("click", function () { state = b.dataset.state; apply(); }); });
  field.addEventListener("input", apply);
  document.addEventListener("keydown", function (event) {
    if (event.key === "/" && document.activeElement !== field) { event.preventDefault(); field.focus(); }
    if (event.key === "Escape" && document.activeElement === field) { field.value = ""; apply(); }
  });
  window.addEventListener("pageshow", apply);  // a browser that goes back keeps what was typed
  tools.hidden = false;
  apply();
})();
