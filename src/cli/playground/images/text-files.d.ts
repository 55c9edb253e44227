// Scripts that go into images are real files; the bundler and the test runner import them as text.
declare module '*.sh' {
  const text: string;
  // biome-ignore lint/style/noDefaultExport: the text loaders of esbuild and vite know only this form
  export default text;
}
