import type { SelectedVariable } from '../../src/rendering/macros.ts'
import { element } from './dom.ts'
import type { VariablePicker } from './variable-picker.ts'

/** A value written by hand; Enter or leaving the field makes it count. */
export function variableText(label: string, onChange: (values: readonly string[]) => void): VariablePicker {
  let shown = ''
  const field = element('input', {
    className: 'control text',
    type: 'text',
    size: 14,
    spellcheck: false,
    autocomplete: 'off',
    aria: { label },
    on: {
      change: () => {
        if (field.value !== shown) onChange([field.value])
      },
      keydown: (event) => {
        if (event.key === 'Escape') field.value = shown
      },
    },
  })
  return {
    root: element(
      'label',
      { className: 'popover' },
      element('span', { className: 'caption', aria: { hidden: 'true' } }, label),
      field,
    ),
    show({ values }: SelectedVariable) {
      shown = values[0] ?? ''
      if (document.activeElement !== field) field.value = shown
    },
  }
}
