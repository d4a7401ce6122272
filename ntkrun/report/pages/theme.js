// In the head: the choice of an earlier page holds before anything is drawn.
(function () {
  "use strict";
  var root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)");
  try { if (localStorage.ntkrunTheme) root.dataset.theme = localStorage.ntkrunTheme; } catch (e) { /* no storage: the system decides */ }
  function isDark() { return root.dataset.theme ? root.dataset.theme === "dark" : dark.matches; }
  function changed() {
    var button = document.getElementById("theme");
    if (button) button.textContent = isDark() ? "light" : "dark";
    document.dispatchEvent(new Event("theme"));
  }
  dark.addEventListener("change", changed);
  document.addEventListener("DOMContentLoaded", function () {
    var button = document.getElementById("theme");
    button.hidden = false;
    button.addEventListener("click", function () {
      root.dataset.theme = isDark() ? "light" : "dark";
      try { localStorage.ntkrunTheme = root.dataset.theme; } catch (e) { /* holds for this page alone */ }
      changed();
    });
    changed();
  });
  window.ntkrunIsDark = isDark;
})();
