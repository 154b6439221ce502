//! The two C libraries behind safe functions: libjpeg-turbo, which reads JPEG, and libwebp, which
//! reads and writes WebP. The only file with unsafe code.
//!
//! Both are handed buffers of lengths that are computed here from what they themselves say of the
//! image, and both answer bad input with an error.

use std::ffi::{CStr, c_int};
use std::ptr;

use libwebp_sys as webp;
use turbojpeg::raw as tj;

use crate::budget::{MAX_MEMORY, MAX_PIXELS};
use crate::square::Raster;

/// The most scans a JPEG may have.
pub(crate) const MAX_SCANS: usize = 64;

/// Warnings of libjpeg-turbo after which the picture is whole.
const HARMLESS: [&str; 4] = [
    "extraneous bytes before marker",
    "unknown JFIF revision number",
    "Unknown Adobe color transform code",
    "Invalid SOS parameters for sequential JPEG",
];

/// How the samples of a JPEG are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JpegColours {
    Gray,
    /// Luma and chroma; chroma is smaller across and down by these.
    Ycc(u32, u32),
    Rgb,
    Cmyk,
}

/// A JPEG whose header is read.
pub(crate) struct Jpeg<'a> {
    handle: tj::tjhandle,
    bytes: &'a [u8],
}

impl Drop for Jpeg<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is from `tj3Init`, and is given back once.
        unsafe { tj::tj3Destroy(self.handle) }
    }
}

impl<'a> Jpeg<'a> {
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, String> {
        // SAFETY: no pointers go in; null is checked for.
        let handle = unsafe { tj::tj3Init(tj::TJINIT_TJINIT_DECOMPRESS as c_int) };
        if handle.is_null() {
            return Err("its decoder did not start".to_owned());
        }
        let mut jpeg = Self { handle, bytes };
        jpeg.set(tj::TJPARAM_TJPARAM_SAVEMARKERS, 0);
        jpeg.set(tj::TJPARAM_TJPARAM_SCANLIMIT, MAX_SCANS as c_int);
        jpeg.set(tj::TJPARAM_TJPARAM_MAXMEMORY, (MAX_MEMORY >> 20) as c_int);
        jpeg.set(tj::TJPARAM_TJPARAM_MAXPIXELS, MAX_PIXELS as c_int);
        // SAFETY: the handle is live, and the bytes are `bytes.len()` readable ones.
        let read = unsafe { tj::tj3DecompressHeader(handle, bytes.as_ptr(), bytes.len() as _) };
        if read != 0 {
            jpeg.heard()?;
        }
        Ok(jpeg)
    }

    pub(crate) fn size(&self) -> (u32, u32) {
        let width = self.get(tj::TJPARAM_TJPARAM_JPEGWIDTH).max(0);
        (width as u32, self.get(tj::TJPARAM_TJPARAM_JPEGHEIGHT).max(0) as u32)
    }

    pub(crate) fn colours(&self) -> JpegColours {
        let space = self.get(tj::TJPARAM_TJPARAM_COLORSPACE) as tj::TJCS;
        match (space, self.get(tj::TJPARAM_TJPARAM_SUBSAMP)) {
            (tj::TJCS_TJCS_GRAY, _) => JpegColours::Gray,
            (tj::TJCS_TJCS_CMYK | tj::TJCS_TJCS_YCCK, _) => JpegColours::Cmyk,
            (tj::TJCS_TJCS_YCbCr, tj::TJSAMP_TJSAMP_444) => JpegColours::Ycc(1, 1),
            (tj::TJCS_TJCS_YCbCr, tj::TJSAMP_TJSAMP_422) => JpegColours::Ycc(2, 1),
            (tj::TJCS_TJCS_YCbCr, tj::TJSAMP_TJSAMP_420) => JpegColours::Ycc(2, 2),
            (tj::TJCS_TJCS_YCbCr, tj::TJSAMP_TJSAMP_440) => JpegColours::Ycc(1, 2),
            (tj::TJCS_TJCS_YCbCr, tj::TJSAMP_TJSAMP_411) => JpegColours::Ycc(4, 1),
            (tj::TJCS_TJCS_YCbCr, tj::TJSAMP_TJSAMP_441) => JpegColours::Ycc(1, 4),
            _ => JpegColours::Rgb,
        }
    }

    /// Gray, or luma and chroma, as they are stored; an eighth of the size to eight eighths.
    pub(crate) fn planes(&mut self, eighths: u32) -> Result<Vec<Raster>, String> {
        let (width, height) = self.scale(eighths)?;
        let subsampling = self.get(tj::TJPARAM_TJPARAM_SUBSAMP);
        let count = if self.colours() == JpegColours::Gray { 1 } else { 3 };
        let mut planes = Vec::with_capacity(count);
        for component in 0..count as c_int {
            // SAFETY: two functions of numbers.
            let (across, down) = unsafe {
                (
                    tj::tj3YUVPlaneWidth(component, width as c_int, subsampling),
                    tj::tj3YUVPlaneHeight(component, height as c_int, subsampling),
                )
            };
            planes.push(Raster::new(across.max(0) as u32, down.max(0) as u32, 1));
        }
        let mut rows: [*mut u8; 3] = [ptr::null_mut(); 3];
        let mut strides: [c_int; 3] = [0; 3];
        for (index, plane) in planes.iter_mut().enumerate() {
            rows[index] = plane.samples.as_mut_ptr();
            strides[index] = plane.width as c_int;
        }
        self.lenient(|handle, bytes| {
            let (rows, strides) = (rows.as_mut_ptr(), strides.as_mut_ptr());
            // SAFETY: the handle is live, and the bytes are `bytes.len()` readable ones. Each plane
            // has the rows and the width that the library says it writes for this size and
            // subsampling; it reads both from the bytes, which are those they were read from before.
            // Gray has one plane, all else three.
            unsafe {
                let length = bytes.len() as _;
                tj::tj3DecompressToYUVPlanes8(handle, bytes.as_ptr(), length, rows, strides)
            }
        })?;
        Ok(planes)
    }

    /// Interleaved: RGB, or the four inks.
    pub(crate) fn pixels(&mut self, eighths: u32) -> Result<Raster, String> {
        let (width, height) = self.scale(eighths)?;
        let (channels, format) = match self.colours() {
            JpegColours::Cmyk => (4, tj::TJPF_TJPF_CMYK),
            _ => (3, tj::TJPF_TJPF_RGB),
        };
        let mut raster = Raster::new(width, height, channels);
        let pitch = (width as usize * channels) as c_int;
        self.lenient(|handle, bytes| {
            let (to, length) = (raster.samples.as_mut_ptr(), bytes.len() as _);
            // SAFETY: as above; the raster has the scaled size of the image, and rows of `pitch`
            // bytes, which is a pixel of the format times the width.
            unsafe {
                tj::tj3Decompress8(handle, bytes.as_ptr(), length, to, pitch, format as c_int)
            }
        })?;
        Ok(raster)
    }

    /// The size that comes of so many eighths.
    fn scale(&mut self, eighths: u32) -> Result<(u32, u32), String> {
        let divisor = 1 << eighths.trailing_zeros().min(3);
        let (num, denom) = ((eighths / divisor) as c_int, (8 / divisor) as c_int);
        // SAFETY: the handle is live; a factor that is none of the library's is an error.
        let set =
            unsafe { tj::tj3SetScalingFactor(self.handle, tj::tjscalingfactor { num, denom }) };
        if set != 0 {
            return Err(format!("it cannot be scaled by {num}/{denom}"));
        }
        let (width, height) = self.size();
        Ok(((width * eighths).div_ceil(8), (height * eighths).div_ceil(8)))
    }

    /// Decodes up to the first complaint, or past it where it is harmless.
    fn lenient(
        &mut self,
        mut decode: impl FnMut(tj::tjhandle, &[u8]) -> c_int,
    ) -> Result<(), String> {
        self.set(tj::TJPARAM_TJPARAM_STOPONWARNING, 1);
        if decode(self.handle, self.bytes) == 0 {
            return Ok(());
        }
        self.heard()?;
        self.set(tj::TJPARAM_TJPARAM_STOPONWARNING, 0);
        if decode(self.handle, self.bytes) == 0 { Ok(()) } else { self.heard() }
    }

    /// What the library complained about, unless it is harmless.
    fn heard(&self) -> Result<(), String> {
        // SAFETY: the handle is live; the text is its own, ends with a zero, and is copied at once.
        let words = unsafe { CStr::from_ptr(tj::tj3GetErrorStr(self.handle)) };
        let words = words.to_string_lossy();
        let harmless = HARMLESS.iter().any(|harmless| words.contains(harmless));
        if harmless { Ok(()) } else { Err(words.into_owned()) }
    }

    fn set(&mut self, parameter: tj::TJPARAM, value: c_int) {
        // SAFETY: the handle is live; a value out of range is an error, and these are none.
        let set = unsafe { tj::tj3Set(self.handle, parameter as c_int, value) };
        debug_assert_eq!(set, 0, "parameter {parameter}");
    }

    fn get(&self, parameter: tj::TJPARAM) -> c_int {
        // SAFETY: the handle is live.
        unsafe { tj::tj3Get(self.handle, parameter as c_int) }
    }
}

/// What a WebP says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WebpHeader {
    pub width: u32,
    pub height: u32,
    pub alpha: bool,
    pub lossless: bool,
}

/// Reads the header of a still WebP, with its container or from its first chunk on.
pub(crate) fn webp_header(bytes: &[u8]) -> Result<WebpHeader, &'static str> {
    let mut config = webp::WebPDecoderConfig::new().map_err(|()| "its decoder did not start")?;
    // SAFETY: the bytes are `bytes.len()` readable ones; the header is written to a live struct.
    let status =
        unsafe { webp::WebPGetFeatures(bytes.as_ptr(), bytes.len(), &raw mut config.input) };
    decoded(status)?;
    let webp::WebPBitstreamFeatures { width, height, has_alpha, format, .. } = config.input;
    Ok(WebpHeader {
        width: width.max(0) as u32,
        height: height.max(0) as u32,
        alpha: has_alpha != 0,
        lossless: format == 2,
    })
}

/// How a WebP is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WebpColours {
    /// Luma and chroma of half the size, in the limited range.
    Ycc,
    Rgb,
    /// RGBA, multiplied by alpha.
    Premultiplied,
}

/// A part of a WebP: left, top, width, height; left and top are even.
pub(crate) type Part = (u32, u32, u32, u32);

/// Decodes a part of a still WebP, shrunk to `side` x `side` where that is given.
pub(crate) fn webp_decode(
    bytes: &[u8],
    part: Part,
    side: Option<u32>,
    colours: WebpColours,
) -> Result<Vec<Raster>, &'static str> {
    let mut config = webp::WebPDecoderConfig::new().map_err(|()| "its decoder did not start")?;
    config.options.use_cropping = 1;
    config.options.crop_left = part.0 as c_int;
    config.options.crop_top = part.1 as c_int;
    config.options.crop_width = part.2 as c_int;
    config.options.crop_height = part.3 as c_int;
    let (width, height) = side.map_or((part.2, part.3), |side| (side, side));
    if side.is_some() {
        config.options.use_scaling = 1;
        config.options.scaled_width = width as c_int;
        config.options.scaled_height = height as c_int;
    }
    let output = &mut config.output;
    output.is_external_memory = 1;
    let mut rasters;
    if colours == WebpColours::Ycc {
        let (half, low) = (width.div_ceil(2), height.div_ceil(2));
        rasters = vec![
            Raster::new(width, height, 1),
            Raster::new(half, low, 1),
            Raster::new(half, low, 1),
        ];
        output.colorspace = webp::WEBP_CSP_MODE::MODE_YUV;
        let [y, u, v] = [0, 1, 2].map(|index: usize| rasters[index].samples.as_mut_ptr());
        let [y_size, u_size, v_size] = [0, 1, 2].map(|index: usize| rasters[index].samples.len());
        let (y_stride, u_stride, v_stride) = (width as c_int, half as c_int, half as c_int);
        let (a, a_stride, a_size) = (ptr::null_mut(), 0, 0);
        output.u.YUVA = webp::WebPYUVABuffer {
            y,
            u,
            v,
            a,
            y_stride,
            u_stride,
            v_stride,
            a_stride,
            y_size,
            u_size,
            v_size,
            a_size,
        };
    } else {
        let (channels, mode) = match colours {
            WebpColours::Premultiplied => (4, webp::WEBP_CSP_MODE::MODE_rgbA),
            _ => (3, webp::WEBP_CSP_MODE::MODE_RGB),
        };
        rasters = vec![Raster::new(width, height, channels)];
        output.colorspace = mode;
        let samples = &mut rasters[0].samples;
        let stride = (width as usize * channels) as c_int;
        output.u.RGBA =
            webp::WebPRGBABuffer { rgba: samples.as_mut_ptr(), stride, size: samples.len() };
    }
    // SAFETY: the bytes are `bytes.len()` readable ones. The output points to live buffers and says
    // how long they and their rows are, which the library checks before it writes; they are nobody
    // else's until it returns. It owns nothing that would have to be freed: the memory is external.
    let status = unsafe { webp::WebPDecode(bytes.as_ptr(), bytes.len(), &raw mut config) };
    decoded(status)?;
    Ok(rasters)
}

/// A status of the decoder in words.
fn decoded(status: webp::VP8StatusCode) -> Result<(), &'static str> {
    use webp::VP8StatusCode as Status;
    match status {
        Status::VP8_STATUS_OK => Ok(()),
        Status::VP8_STATUS_OUT_OF_MEMORY => Err(OUT_OF_MEMORY),
        Status::VP8_STATUS_SUSPENDED | Status::VP8_STATUS_NOT_ENOUGH_DATA => Err("it ends early"),
        Status::VP8_STATUS_UNSUPPORTED_FEATURE => Err("it uses an unknown feature"),
        _ => Err("its data are invalid"),
    }
}

/// Said where a decoder was refused memory.
pub(crate) const OUT_OF_MEMORY: &str = "its decoder ran out of memory";

/// A square of pixels for a thumbnail.
pub(crate) enum Pixels {
    Rgb(Vec<u8>),
    /// Luma, and chroma of half its sides rounded up; in the limited range.
    Ycc([Vec<u8>; 3]),
}

/// Writes a square as a lossy WebP without metadata.
pub(crate) fn webp_encode(
    mut pixels: Pixels,
    side: u32,
    quality: f32,
    method: u8,
) -> Result<Vec<u8>, String> {
    let start = |()| "its encoder did not start".to_owned();
    let mut config = webp::WebPConfig::new().map_err(start)?;
    config.quality = quality;
    config.method = c_int::from(method);
    let mut picture = webp::WebPPicture::new().map_err(start)?;
    picture.width = side as c_int;
    picture.height = side as c_int;
    let (whole, half) = (side as usize, side.div_ceil(2) as usize);
    let fits = match &mut pixels {
        Pixels::Rgb(rgb) => rgb.len() == 3 * whole * whole,
        Pixels::Ycc([y, u, v]) => {
            (picture.y, picture.u, picture.v) = (y.as_mut_ptr(), u.as_mut_ptr(), v.as_mut_ptr());
            (picture.y_stride, picture.uv_stride) = (whole as c_int, half as c_int);
            y.len() == whole * whole && u.len() == half * half && v.len() == half * half
        }
    };
    if !fits {
        return Err("its pixels are of another size".to_owned());
    }
    let mut written: Vec<u8> = Vec::new();
    picture.writer = Some(append);
    picture.custom_ptr = (&raw mut written).cast();
    // SAFETY: the config and the picture are live and were initialised by the library. Its planes,
    // or the samples to import, are as long as its sides and strides say, as checked above, and are
    // live and nobody else's until the end. `append` gets what it expects as `custom_ptr`. Imported
    // planes are the library's and freed with the picture; ours it does not own, and leaves.
    let done = unsafe {
        let imported = match &pixels {
            Pixels::Rgb(rgb) => {
                webp::WebPPictureImportRGB(&raw mut picture, rgb.as_ptr(), 3 * side as c_int) != 0
            }
            Pixels::Ycc(_) => true,
        };
        let done = imported && webp::WebPEncode(&raw const config, &raw mut picture) != 0;
        webp::WebPPictureFree(&raw mut picture);
        done
    };
    if done { Ok(written) } else { Err(format!("{:?}", picture.error_code)) }
}

/// Takes a piece of a WebP that is being written.
///
/// # Safety
///
/// `data` are `size` readable bytes, and `custom_ptr` of the picture is a live `Vec<u8>`.
unsafe extern "C" fn append(
    data: *const u8,
    size: usize,
    picture: *const webp::WebPPicture,
) -> c_int {
    if size == 0 {
        return 1;
    }
    // SAFETY: the caller's promise; the vector is not touched elsewhere during the call.
    let (piece, written) = unsafe {
        (std::slice::from_raw_parts(data, size), &mut *(*picture).custom_ptr.cast::<Vec<u8>>())
    };
    written.extend_from_slice(piece);
    1
}

/// Lets the allocator give large buffers back as soon as they are freed, and keep small ones: left
/// alone, glibc would learn from the first large image to keep as much.
pub fn return_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: numbers only; called before other threads exist.
    unsafe {
        turbojpeg::libc::mallopt(turbojpeg::libc::M_MMAP_THRESHOLD, 1 << 20);
        turbojpeg::libc::mallopt(turbojpeg::libc::M_TRIM_THRESHOLD, 4 << 20);
    }
}
