/** Copy buttons: `data-copy` names the element whose text to take, or the code beside the button. */

const SAID_MS = 1_500

export function startCopyButtons() {
  document.addEventListener('click', async (event) => {
    const button = event.target instanceof Element ? event.target.closest('[data-copy]') : null
    if (!(button instanceof HTMLButtonElement)) return
    const named = button.dataset.copy
    const source = named ? document.getElementById(named) : button.parentElement?.querySelector('code')
    const words = button.querySelector('span')
    if (!source || !words) return
    words.textContent = (await copy(source)) ? 'Copied' : 'Press Ctrl+C'
    setTimeout(() => (words.textContent = 'Copy'), SAID_MS)
  })
}

/**
 * Browsers offer the clipboard on https and localhost only; elsewhere the text is selected, ready to be copied.
 * @param {Element} source
 */
async function copy(source) {
  try {
    await navigator.clipboard.writeText(source.textContent ?? '')
    return true
  } catch {
    getSelection()?.selectAllChildren(source)
    return false
  }
}
