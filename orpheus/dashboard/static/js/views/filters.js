/** Keeps empty fields out of the address; without this the form works just as well. */

export function startFilters() {
  const form = document.querySelector('[data-filters]')
  if (!(form instanceof HTMLFormElement)) return
  /** @type {NodeListOf<HTMLInputElement | HTMLSelectElement>} */
  const fields = form.querySelectorAll('input, select')
  form.addEventListener('submit', () => {
    for (const field of fields) field.disabled = field.value.trim() === ''
  })
  for (const select of form.querySelectorAll('select')) {
    select.addEventListener('change', () => form.requestSubmit())
  }
  // Coming back with the back button finds the page as it was left.
  addEventListener('pageshow', () => {
    for (const field of fields) field.disabled = false
  })
}
