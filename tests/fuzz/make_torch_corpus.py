"""Write the corpus of fuzz_torch_file: torch.save in both formats, and damaged or hostile files. Package: torch."""
import io, os, struct, torch, zipfile
d = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus/fuzz_torch_file/")
def put(n,b): open(d+n,'wb').write(b)
def save(x,**k):
    f=io.BytesIO(); torch.save(x,f,**k); return f.getvalue()
base=torch.arange(6.)
state={'w':base.view(2,3),'t':base.view(2,3).t(),'n':torch.ones(2,dtype=torch.int64),'d':torch.ones(2,dtype=torch.float64),'b':torch.tensor([True])}
z=save(state); o=save(state,_use_new_zipfile_serialization=False)
put('zip.pt',z); put('old.pt',o); put('param.pt',save({'p':torch.nn.Parameter(torch.ones(1))})); put('nested.pt',save({'a':{'b':[torch.zeros(1),(1,2.5,None,True,'x')]},'n':-3}))
put('cut_zip.pt',z[:-30]); put('cut_old.pt',o[:-10])
put('short_member.pt',z.replace(struct.pack('<I',24),struct.pack('<I',20)))
f=io.BytesIO()
with zipfile.ZipFile(io.BytesIO(z)) as src, zipfile.ZipFile(f,'w',zipfile.ZIP_DEFLATED) as dst:
    for i in src.infolist(): dst.writestr(i.filename,src.read(i))
put('compressed.pt',f.getvalue())
import pickle
class E:
    def __reduce__(self): return (os.system,('true',))
def zipped(p):
    f=io.BytesIO()
    with zipfile.ZipFile(f,'w',zipfile.ZIP_STORED) as dst: dst.writestr('archive/data.pkl',p)
    return f.getvalue()
put('evil.pt',zipped(pickle.dumps(E(),2))); put('evil_old.pt',pickle.dumps(0x1950a86a20f9469cfc6c,2)+pickle.dumps(1001,2)+pickle.dumps({'little_endian':True},2)+pickle.dumps(E(),2))
l=[]; l.append(l); put('self.pt',zipped(pickle.dumps(l,2)))
l=[]
for i in range(40): l=[l,l]
put('doubling.pt',zipped(pickle.dumps(l,2)))
put('empty.pt',b''); put('not_a_pickle.pt',b'\x80\x02.'); put('zero.pt',b'\0'*64); put('cycle_mark.pt',zipped(b'\x80\x02(((ttt.')); put('memo.pt',zipped(b'\x80\x02Kcr\xff\xff\xff\xff.'))
