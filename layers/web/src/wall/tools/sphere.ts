/** A picture seen from inside its sphere, in WebGL: one triangle, one texture. Knows equirectangular pictures only. */
const VERTEX = `#version 300 es
in vec2 at;
void main() { gl_Position = vec4(at, 0.0, 1.0); }`
/** Each pixel is a ray: turned by pitch and yaw, its longitude and latitude are the place in the picture. */
const FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D picture;
uniform vec2 size;
uniform vec3 view; // yaw, pitch, tangent of half the field of view
out vec4 colour;
void main() {
  vec2 p = (gl_FragCoord.xy - 0.5 * size) / (0.5 * size.y) * view.z;
  vec3 ray = normalize(vec3(p, 1.0));
  float cp = cos(view.y), sp = sin(view.y);
  ray = vec3(ray.x, cp * ray.y + sp * ray.z, cp * ray.z - sp * ray.y);
  float lon = atan(ray.x, ray.z) + view.x;
  float lat = asin(clamp(ray.y, -1.0, 1.0));
  colour = texture(picture, vec2(lon / 6.28318530718 + 0.5, 0.5 - lat / 3.14159265359));
}`

export interface View {
  /** Radians from the picture's middle, to the right. */
  yaw: number
  /** Radians above the horizon. */
  pitch: number
  /** Field of view from top to bottom, radians. */
  field: number
}

export class Sphere {
  private readonly gl: WebGL2RenderingContext
  private readonly size: WebGLUniformLocation | null
  private readonly view: WebGLUniformLocation | null

  /** Raises where there is no WebGL. */
  constructor(private readonly canvas: HTMLCanvasElement, picture: HTMLImageElement) {
    const gl = canvas.getContext('webgl2')
    if (!gl) throw new Error('no WebGL')
    this.gl = gl
    const program = gl.createProgram()!
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]] as const) {
      const shader = gl.createShader(kind)!
      gl.shaderSource(shader, source)
      gl.compileShader(shader)
      gl.attachShader(program, shader)
    }
    gl.linkProgram(program)
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program) ?? 'no shader')
    gl.useProgram(program)
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer())
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 3, -1, -1, 3]), gl.STATIC_DRAW)
    gl.enableVertexAttribArray(gl.getAttribLocation(program, 'at'))
    gl.vertexAttribPointer(gl.getAttribLocation(program, 'at'), 2, gl.FLOAT, false, 0, 0)
    this.size = gl.getUniformLocation(program, 'size')
    this.view = gl.getUniformLocation(program, 'view')
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture())
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, this.fitting(picture))
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR)
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.REPEAT)
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE)
  }

  /** The picture, no wider than the graphics card takes. */
  private fitting(picture: HTMLImageElement): TexImageSource {
    const most = this.gl.getParameter(this.gl.MAX_TEXTURE_SIZE) as number
    if (picture.naturalWidth <= most) return picture
    const smaller = document.createElement('canvas')
    smaller.width = most
    smaller.height = most / 2
    smaller.getContext('2d')!.drawImage(picture, 0, 0, most, most / 2)
    return smaller
  }

  draw({ yaw, pitch, field }: View): void {
    const { canvas, gl } = this
    canvas.width = canvas.clientWidth * devicePixelRatio
    canvas.height = canvas.clientHeight * devicePixelRatio
    gl.viewport(0, 0, canvas.width, canvas.height)
    gl.uniform2f(this.size, canvas.width, canvas.height)
    gl.uniform3f(this.view, yaw, pitch, Math.tan(field / 2))
    gl.drawArrays(gl.TRIANGLES, 0, 3)
  }

  remove(): void {
    this.gl.getExtension('WEBGL_lose_context')?.loseContext()
  }
}
