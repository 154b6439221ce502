use models::{*, evaluation::Confusion};
use std::time::Instant;
fn rss()->String{ std::fs::read_to_string("/proc/self/status").unwrap().lines().filter(|l|l.starts_with("VmRSS")||l.starts_with("RssAnon")).collect::<Vec<_>>().join(" ")}
fn main(){
  let t=std::fs::read_to_string("/work/shared/data/sentiment_en/val_text.txt").unwrap();
  let l=std::fs::read_to_string("/work/shared/data/sentiment_en/val_labels.txt").unwrap();
  let verbose=std::env::args().nth(1).is_some();
  let start=Instant::now();
  println!("start {}",rss());
  let prepared:Vec<_>=t.lines().map(|x|Prepared::of(x,&[])).collect();
  let mut a=RulesAnalyzer::new();
  a.analyze(&prepared[..1]); println!("first {:?} {}",start.elapsed(),rss());
  let start=Instant::now();
  let f=a.analyze(&prepared);
  println!("tweets/s {:.0} {}",prepared.len() as f64/start.elapsed().as_secs_f64(),rss());
  let mut en=0;
  let names=["negative","neutral","positive"];
  let c:Confusion<String>=f.iter().zip(l.lines()).zip(t.lines()).map(|((f,l),t)|{ let f=f.as_ref().unwrap(); if f.language.code=="en"{en+=1} else if verbose {println!("LANG {} {}",f.language.code,t)}
     let e=names[l.parse::<usize>().unwrap()]; (e.to_string(),f.sentiment.label.as_str().to_string())}).collect();
  println!("acc {:?} macro recall {:?} en {}",c.accuracy(),c.macro_recall(),en as f64/prepared.len() as f64);
  println!("{:#?}",c.counts);
  for n in names { println!("{n} {:?}",c.labels()[n]); }
}
