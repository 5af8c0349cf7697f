declare module "virtual:kernel" {
  const base64: string; // of kernel.wat, compiled
  export default base64;
}
