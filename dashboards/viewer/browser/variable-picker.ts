import { ALL_VALUE, type SelectedVariable } from '../../src/rendering/macros.ts'
import { element } from './dom.ts'
import { type Popover, popover } from './popover.ts'

const SEARCH_OPTIONS_MIN = 8

export interface VariablePicker {
  readonly root: HTMLElement
  show(variable: SelectedVariable): void
}

/** All, or any of the options, or one of them; the choice takes effect at once. @param nameOf what the reader sees for a value */
export function variablePicker(
  label: string,
  { nameOf, isMulti, hasAll }: { nameOf: (value: string) => string; isMulti: boolean; hasAll: boolean },
  onChange: (values: readonly string[]) => void,
): VariablePicker {
  let shown: SelectedVariable | undefined
  const picker: Popover = popover({
    label: '…',
    name: label,
    fill: () => {
      const list = element('div', { className: 'choices' })
      const draw = (search: string) => {
        const { values = [], options = [] } = shown ?? {}
        const isAll = values.includes(ALL_VALUE)
        const listed = [...new Set([...options, ...values.filter((v) => v !== ALL_VALUE)])]
        const choose = (chosen: readonly string[]) => {
          const values = chosen.length === 0 ? [ALL_VALUE] : chosen
          if (shown) shown = { ...shown, values }
          onChange(values)
          const focused =
            list.contains(document.activeElement) && (document.activeElement as HTMLElement).dataset['value']
          draw(search)
          list.querySelector<HTMLElement>(`[data-value=${JSON.stringify(focused || '')}]`)?.focus()
        }
        const choice = (value: string, text: string, checked: boolean, chosen: readonly string[]) =>
          element(
            'label',
            { className: 'choice' },
            element('input', {
              type: isMulti ? 'checkbox' : 'radio',
              checked,
              data: { value },
              on: { change: () => choose(chosen) },
            }),
            element('span', {}, text),
          )
        list.replaceChildren(
          ...(hasAll && search === '' ? [choice(ALL_VALUE, 'All', isAll, [ALL_VALUE])] : []),
          ...listed
            .filter((option) => nameOf(option).toLowerCase().includes(search.toLowerCase()))
            .map((option) => {
              const checked = !isAll && values.includes(option)
              const others = isAll || !isMulti ? [] : values
              return choice(
                option,
                nameOf(option),
                checked,
                checked ? others.filter((v) => v !== option) : [...others, option],
              )
            }),
          ...(listed.length === 0
            ? [element('p', { className: 'hint' }, `InfluxDB knows no ${label.toLowerCase()} yet`)]
            : []),
        )
      }
      draw('')
      return element(
        'div',
        {},
        (shown?.options.length ?? 0) >= SEARCH_OPTIONS_MIN &&
          element('input', {
            type: 'search',
            placeholder: 'Search',
            className: 'field',
            aria: { label: `Search ${label}` },
            on: { input: (event) => draw((event.target as HTMLInputElement).value) },
          }),
        list,
      )
    },
  })
  picker.root.prepend(element('span', { className: 'caption', aria: { hidden: 'true' } }, label))
  return {
    root: picker.root,
    show(variable) {
      shown = variable
      const { values } = variable
      picker.setLabel(
        values.includes(ALL_VALUE)
          ? 'All'
          : values.length > 2
            ? `${values.length} selected`
            : values.map(nameOf).join(', ') || 'none',
      )
    },
  }
}
