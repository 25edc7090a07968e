// Pictures and tables are made anew when their numbers change; whoever stands on a link of them stays there.

export function keepFocus(within: HTMLElement, remake: () => void): void {
  const active = document.activeElement;
  const href = active && within.contains(active) ? active.getAttribute("href") : null;
  remake();
  if (href !== null && !within.contains(document.activeElement))
    [...within.querySelectorAll<HTMLElement>("a")]
      .find(a => a.getAttribute("href") === href)
      ?.focus({ preventScroll: true });
}
