export { VERSION } from '@tributary/runtime'
