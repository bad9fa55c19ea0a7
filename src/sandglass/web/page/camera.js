// A webcam as a stream of frames, one in flight: the next is taken when the last one has been answered.
const LONGEST = 960; // pixels: what is sent of a frame

export const hasCamera = () => Boolean(navigator.mediaDevices?.getUserMedia); // browsers give it to https and localhost

export class Camera {
  constructor(video) {
    this.video = video;
    this.stream = null;
    this.canvas = document.createElement("canvas");
  }

  async start() {
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, facingMode: "user" }, audio: false });
    } catch (error) {
      const why = { NotAllowedError: "the browser was not allowed to use it", NotFoundError: "there is none" }[error.name];
      throw new Error(`the webcam does not start: ${why ?? error.message}`);
    }
    this.video.srcObject = this.stream;
    await this.video.play();
  }

  // The picture of this moment, as a JPEG.
  frame() {
    const { videoWidth: w, videoHeight: h } = this.video;
    const factor = Math.min(1, LONGEST / Math.max(w, h));
    this.canvas.width = Math.round(w * factor);
    this.canvas.height = Math.round(h * factor);
    this.canvas.getContext("2d").drawImage(this.video, 0, 0, this.canvas.width, this.canvas.height);
    return new Promise((done) => this.canvas.toBlob(done, "image/jpeg", 0.9));
  }

  stop() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = this.video.srcObject = null;
  }
}
