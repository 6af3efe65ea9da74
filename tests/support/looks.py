"""What is checked of how the page looks, as scripts that run in it and return what is wrong."""

from tests.support.node import MODULES

AXE = MODULES / "axe-core" / "axe.min.js"
"""axe-core, which checks a page for accessibility. `make lint` installs it."""

ACCESSIBLE = """async () => {
  const { violations } = await axe.run(document, {
    resultTypes: ["violations"],
    rules: { "color-contrast": { enabled: false } }, // see CONTRAST
  });
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 100)).join(" | ")}`);
}"""

CONTRAST = """() => {
  const luminance = ([r, g, b]) => [r, g, b]
    .map((value) => value / 255)
    .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const parse = (color) => color.match(/[\\d.]+/g).map(Number);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, alpha = 1] = parse(getComputedStyle(at).backgroundColor);
      if (alpha > 0.7) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const words = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!words || !element.checkVisibility() || element.closest(".visually-hidden, .sprite, :disabled")) continue;
    const pair = [parse(getComputedStyle(element).color), ground(element)].map(luminance);
    const contrast = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (contrast < 4.5) poor.push(`${contrast.toFixed(2)}: ${element.outerHTML.slice(0, 80)}`);
  }
  return poor;
}"""

CUT_OFF = """() => {
  const wrong = [];
  const modal = document.querySelector("dialog[open]");
  const complain = (what, element) => wrong.push(`${what}: ${element.outerHTML.slice(0, 100)}`);
  const boxesOf = (element) => {
    if (element.matches("button, input, select, textarea, summary")) return [element.getBoundingClientRect()];
    return [...element.childNodes].filter((node) => node.nodeType === 3 && node.textContent.trim()).flatMap((node) => {
      const range = document.createRange();
      range.selectNodeContents(node);
      return [...range.getClientRects()];
    });
  };
  for (const element of (modal ?? document.body).querySelectorAll("*")) {
    const isHidden = element.closest(".visually-hidden, [aria-hidden], option, optgroup, [inert]");
    if (isHidden || !element.checkVisibility()) continue;
    for (const box of boxesOf(element)) {
      if (box.left < -1 || box.right > innerWidth + 1) complain("sticks out", element);
      let seen = true;
      const axes = new Set(["X", "Y"]); // those in which nothing around can be scrolled
      for (let at = element.parentElement; at && at !== document.body; at = at.parentElement) {
        const clip = at.getBoundingClientRect();
        for (const axis of axes) {
          const overflow = getComputedStyle(at)[`overflow${axis}`];
          if (overflow === "visible") continue;
          const [low, high] = axis === "X" ? ["left", "right"] : ["top", "bottom"];
          if (box[low] < clip[low] - 1 || box[high] > clip[high] + 1) {
            seen = false;
            if (overflow === "hidden") complain("is cut off", element);
          }
          if (overflow !== "hidden") axes.delete(axis);
        }
      }
      const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
      if (!seen || x < 0 || y < 0 || x > innerWidth || y > innerHeight) continue;
      const top = document.elementFromPoint(x, y);
      if (top && !element.contains(top) && !top.contains(element)) complain(`is under ${top.outerHTML}`, element);
    }
  }
  return wrong;
}"""
"""Text and controls that stick out, are cut off (what can be scrolled to is not), or lie under others."""

TEXT_SIZE = "size => { document.documentElement.style.fontSize = size; }"

DRAWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
"""Settled once the page is drawn in its new size, and what follows from that."""
