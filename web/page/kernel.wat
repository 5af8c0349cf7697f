;; The products of the forward pass, in WebAssembly SIMD: a matrix times a vector, in float32 and in int8.
;;
;; All pointers are byte offsets into one memory, aligned to 16. A matrix has a multiple of 4 rows, so that four of
;; them share each load of the vector; what fills it up is zero. Built by build.mjs; plain.ts is the same in JavaScript.
(module
  (import "page" "memory" (memory 1))

  ;; Four vectors of four partial sums -> one vector of the four sums.
  (func $sums_f32 (param $a v128) (param $b v128) (param $c v128) (param $d v128) (result v128)
    (local $ab v128) (local $cd v128)
    (local.set $ab (f32x4.add ;; a0+a2 b0+b2 a1+a3 b1+b3
      (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $a) (local.get $b))
      (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $a) (local.get $b))))
    (local.set $cd (f32x4.add
      (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $c) (local.get $d))
      (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $c) (local.get $d))))
    (f32x4.add
      (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $ab) (local.get $cd))
      (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $ab) (local.get $cd))))

  (func $sums_i32 (param $a v128) (param $b v128) (param $c v128) (param $d v128) (result v128)
    (local $ab v128) (local $cd v128)
    (local.set $ab (i32x4.add
      (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $a) (local.get $b))
      (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $a) (local.get $b))))
    (local.set $cd (i32x4.add
      (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $c) (local.get $d))
      (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $c) (local.get $d))))
    (i32x4.add
      (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $ab) (local.get $cd))
      (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $ab) (local.get $cd))))

  ;; out[r] = sum over c of w[r][c] x[c]: rows and columns multiples of 4, `stride` bytes from row to row.
  (func (export "float32") (param $out i32) (param $w i32) (param $x i32) (param $rows i32) (param $columns i32)
      (param $stride i32)
    (local $w1 i32) (local $w2 i32) (local $w3 i32) (local $at i32) (local $end i32) (local $xs v128)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local.set $end (i32.shl (local.get $columns) (i32.const 2)))
    (loop $four_rows
      (local.set $w1 (i32.add (local.get $w) (local.get $stride)))
      (local.set $w2 (i32.add (local.get $w1) (local.get $stride)))
      (local.set $w3 (i32.add (local.get $w2) (local.get $stride)))
      (local.set $a (v128.const i32x4 0 0 0 0)) (local.set $b (local.get $a))
      (local.set $c (local.get $a)) (local.set $d (local.get $a))
      (local.set $at (i32.const 0))
      (loop $four_columns
        (local.set $xs (v128.load (i32.add (local.get $x) (local.get $at))))
        (local.set $a (f32x4.add (local.get $a)
          (f32x4.mul (v128.load (i32.add (local.get $w) (local.get $at))) (local.get $xs))))
        (local.set $b (f32x4.add (local.get $b)
          (f32x4.mul (v128.load (i32.add (local.get $w1) (local.get $at))) (local.get $xs))))
        (local.set $c (f32x4.add (local.get $c)
          (f32x4.mul (v128.load (i32.add (local.get $w2) (local.get $at))) (local.get $xs))))
        (local.set $d (f32x4.add (local.get $d)
          (f32x4.mul (v128.load (i32.add (local.get $w3) (local.get $at))) (local.get $xs))))
        (br_if $four_columns (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end))))
      (v128.store (local.get $out)
        (call $sums_f32 (local.get $a) (local.get $b) (local.get $c) (local.get $d)))
      (local.set $out (i32.add (local.get $out) (i32.const 16)))
      (local.set $w (i32.add (local.get $w3) (local.get $stride)))
      (br_if $four_rows (i32.gt_s (local.tee $rows (i32.sub (local.get $rows) (i32.const 4))) (i32.const 0)))))

  ;; The vector x in whole numbers from -largest to largest, as int16; returns what one of them stands for.
  (func (export "round") (param $out i32) (param $x i32) (param $columns i32) (param $largest f32) (result f32)
    (local $at i32) (local $end i32) (local $most v128) (local $by v128) (local $high f32)
    (local.set $end (i32.shl (local.get $columns) (i32.const 2)))
    (loop $four
      (local.set $most (f32x4.max (local.get $most)
        (f32x4.abs (v128.load (i32.add (local.get $x) (local.get $at))))))
      (br_if $four (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end))))
    (local.set $high (f32.max
      (f32.max (f32x4.extract_lane 0 (local.get $most)) (f32x4.extract_lane 1 (local.get $most)))
      (f32.max (f32x4.extract_lane 2 (local.get $most)) (f32x4.extract_lane 3 (local.get $most)))))
    (if (f32.eq (local.get $high) (f32.const 0)) (then (local.set $high (f32.const 1))))
    (local.set $by (f32x4.splat (f32.div (local.get $largest) (local.get $high))))
    (local.set $at (i32.const 0))
    (loop $eight
      (v128.store (local.get $out) (i16x8.narrow_i32x4_s
        (i32x4.trunc_sat_f32x4_s (f32x4.nearest (f32x4.mul (local.get $by)
          (v128.load (i32.add (local.get $x) (local.get $at))))))
        (i32x4.trunc_sat_f32x4_s (f32x4.nearest (f32x4.mul (local.get $by)
          (v128.load offset=16 (i32.add (local.get $x) (local.get $at))))))))
      (local.set $out (i32.add (local.get $out) (i32.const 16)))
      (br_if $eight (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 32))) (local.get $end))))
    (f32.div (local.get $high) (local.get $largest)))

  ;; out[r] = scale[r] unit (sum over c of w[r][c] x[c]), w in int8 and x in int16: rows a multiple of 4, columns of 8.
  ;; The sums are whole numbers in 32 bits, and exact: `round` keeps x small enough (products.ts).
  (func (export "int8") (param $out i32) (param $w i32) (param $scale i32) (param $x i32) (param $unit f32)
      (param $rows i32) (param $columns i32)
    (local $w1 i32) (local $w2 i32) (local $w3 i32) (local $at i32) (local $xs v128)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (loop $four_rows
      (local.set $w1 (i32.add (local.get $w) (local.get $columns)))
      (local.set $w2 (i32.add (local.get $w1) (local.get $columns)))
      (local.set $w3 (i32.add (local.get $w2) (local.get $columns)))
      (local.set $a (v128.const i32x4 0 0 0 0)) (local.set $b (local.get $a))
      (local.set $c (local.get $a)) (local.set $d (local.get $a))
      (local.set $at (i32.const 0))
      (loop $eight_columns
        (local.set $xs (v128.load (i32.add (local.get $x) (i32.shl (local.get $at) (i32.const 1)))))
        (local.set $a (i32x4.add (local.get $a) (i32x4.dot_i16x8_s (local.get $xs)
          (v128.load8x8_s (i32.add (local.get $w) (local.get $at))))))
        (local.set $b (i32x4.add (local.get $b) (i32x4.dot_i16x8_s (local.get $xs)
          (v128.load8x8_s (i32.add (local.get $w1) (local.get $at))))))
        (local.set $c (i32x4.add (local.get $c) (i32x4.dot_i16x8_s (local.get $xs)
          (v128.load8x8_s (i32.add (local.get $w2) (local.get $at))))))
        (local.set $d (i32x4.add (local.get $d) (i32x4.dot_i16x8_s (local.get $xs)
          (v128.load8x8_s (i32.add (local.get $w3) (local.get $at))))))
        (br_if $eight_columns (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (local.get $columns))))
      (v128.store (local.get $out) (f32x4.mul (f32x4.splat (local.get $unit)) (f32x4.mul
        (v128.load (local.get $scale))
        (f32x4.convert_i32x4_s (call $sums_i32 (local.get $a) (local.get $b) (local.get $c) (local.get $d))))))
      (local.set $out (i32.add (local.get $out) (i32.const 16)))
      (local.set $scale (i32.add (local.get $scale) (i32.const 16)))
      (local.set $w (i32.add (local.get $w3) (local.get $columns)))
      (br_if $four_rows (i32.gt_s (local.tee $rows (i32.sub (local.get $rows) (i32.const 4))) (i32.const 0)))))
)
