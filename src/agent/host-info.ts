// Name, release and uptime of the machine, for people. The only place that loads systeminformation, and only when asked.

export interface HostInfo {
  hostname: string;
  os: string;
  kernel: string;
  uptimeSeconds: number;
}

export async function describeHost(): Promise<HostInfo> {
  const { osInfo, time } = await import('systeminformation');
  const { hostname, distro, release, kernel } = await osInfo();
  return { hostname, os: `${distro} ${release}`.trim(), kernel, uptimeSeconds: Math.round(Number(time().uptime)) };
}
