// Unit files are bundled as text.
declare module '*.service' {
  const text: string;
  export default text;
}
declare module '*.socket' {
  const text: string;
  export default text;
}
declare module '*.slice' {
  const text: string;
  export default text;
}
declare module '*.conf' {
  const text: string;
  export default text;
}
