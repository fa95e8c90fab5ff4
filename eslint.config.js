/**
 * Typed linting for TypeScript, plain linting for scripts, no warnings. AssemblyScript in wasm/ is
 * no TypeScript; asc checks it.
 */
import eslint from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import globals from 'globals';
import tseslint from 'typescript-eslint';

/** Which way imports point: what each folder must not know of. */
const MUST_NOT_IMPORT = {
  'src/graph/**': ['passes', 'plan', 'run', 'processors', 'delegate', 'kernels', 'backend'],
  'src/passes/**': ['plan', 'run', 'processors', 'delegate', 'kernels', 'backend'],
  'src/plan/**': ['run', 'processors', 'delegate', 'kernels', 'backend'],
  'src/processors/**': ['passes', 'plan', 'run', 'kernels', 'backend'],
  'src/run/**': ['delegate', 'kernels', 'backend'],
  'src/delegate/**': ['passes', 'plan', 'run', 'kernels'],
  'src/backend.ts': ['kernels'],
  'kernels/**': ['passes', 'plan', 'run', 'delegate', 'backend'],
};

/** Only what tfjs publishes is there in every build of it. */
const DEEP_IMPORTS = {
  regex: '^@tensorflow/[^/]+/dist/',
  message: 'tfjs: import from the package, not from its dist folder.',
};

const directions = Object.entries(MUST_NOT_IMPORT).map(([folder, others]) => ({
  files: [folder],
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: [
          DEEP_IMPORTS,
          {
            regex: `^\\..*/(${others.join('|')})(/|\\.js$)`,
            message: `${folder} must not import ${others.join(', ')}: see CONTRIBUTING.md.`,
          },
        ],
      },
    ],
  },
}));

export default defineConfig(
  globalIgnores(['build/', 'dist/', 'coverage/', '.gpu/', '.models/', '.peers/', 'wasm/', 'etc/']),
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // Shapes and rows come from arrays whose length was checked once.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // Numbers belong in messages.
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true, allowArray: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // Without noUncheckedIndexedAccess it takes every array's element for there.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      // A cast from an interface to the one class that implements it is meant.
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-console': ['error', { allow: ['warn', 'error'] }],
    },
  },
  ...directions,
  {
    files: ['test/**/*.ts', 'scripts/bench/*.ts'],
    rules: { 'no-console': 'off', '@typescript-eslint/unbound-method': 'off' },
  },
  {
    files: ['**/*.mjs', '**/*.js'],
    languageOptions: { globals: globals.node },
  },
);
