<#
.SYNOPSIS
Builds the ollama-proxy image for several processors, tags it by version and as latest, and pushes it.
.PARAMETER Image
The image's name with its registry account, for instance example/ollama-proxy.
.PARAMETER Version
The version tag; by default the one in Cargo.toml.
.PARAMETER Platforms
The platforms to build for.
.PARAMETER Push
Pushes the tags. Without it the image for this machine is built and loaded into Docker.
.EXAMPLE
./build.ps1 -Image example/ollama-proxy -Push
#>
[CmdletBinding(SupportsShouldProcess)]
param(
    [string]$Image = 'ollama-proxy',
    [string]$Version = '',
    [string[]]$Platforms = @('linux/amd64', 'linux/arm64', 'linux/arm/v7'),
    [switch]$Push
)

$ErrorActionPreference = 'Stop'
Set-Location $PSScriptRoot

if (-not (Get-Command docker -ErrorAction SilentlyContinue)) {
    throw 'Docker is not installed or not on the PATH. Install it, then run this script again.'
}
docker info *> $null
if ($LASTEXITCODE -ne 0) {
    throw 'The Docker engine does not answer. Start Docker, then run this script again.'
}
docker buildx version *> $null
if ($LASTEXITCODE -ne 0) {
    throw 'Docker has no buildx. Install the buildx plugin, then run this script again.'
}

if ($Version -eq '') {
    $line = Select-String -Path 'Cargo.toml' -Pattern '^version = "(.+)"' | Select-Object -First 1
    $Version = $line.Matches[0].Groups[1].Value
}

$arguments = @('buildx', 'build', '--file', 'docker/Dockerfile', '--tag', "${Image}:$Version", '--tag', "${Image}:latest")
if ($Push) {
    $arguments += @('--platform', ($Platforms -join ','), '--push')
} else {
    $arguments += '--load'
}
$arguments += '.'

if ($PSCmdlet.ShouldProcess("${Image}:$Version and ${Image}:latest", "docker $($arguments -join ' ')")) {
    docker @arguments
    if ($LASTEXITCODE -ne 0) {
        throw "The build failed with exit code $LASTEXITCODE; its own messages stand above."
    }
    Write-Output "Built ${Image}:$Version and ${Image}:latest."
}
